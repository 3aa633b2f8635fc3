"""The models beside Deep InfoMax, from their settings to a checkpoint and back."""

import json
from typing import ClassVar

import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError
from dim_tf.settings import Experiment, refused_elsewhere
from dim_tf.registry import MODELS
from dim_tf.training import baselines, loop, objectives
from dim_tf.training.checkpoint import Checkpoints
from dim_tf.training.model import load_trained, make_encoder, make_model
from keras_models import DeepInfoMax
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import Encoder
from keras_models.generative.generator import Generator
from keras_models.objective_model import Batch

NAMES = [name for name in MODELS if name != "dim"]


def splits(side=16):
    images = np.random.default_rng(0).integers(0, 256, (12, side, side, 3), np.uint8)
    split = Split(images, np.arange(12) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


def experiment(model, folder="", **settings):
    sizes = {"batch_size": 4, "critic_units": 8, "latent_dim": 4}
    if model == "cpc":
        sizes |= {"latent_dim": 64}  # the encoder is that of crops
    return Experiment.of(name="t", run_dir=str(folder), model=model, **{**sizes, **settings})


def test_every_model_is_made():
    assert {*baselines._MODELS, *objectives.TERMS} == set(MODELS)
    assert not set(baselines._MODELS) & set(objectives.TERMS)


class Watched(Experiment):
    """Tells in `read` which of its settings were asked for."""

    read: ClassVar[set[str]] = set()

    def __getattribute__(self, name):
        Watched.read.add(name)
        return super().__getattribute__(name)


# None is its default, so that all would be told as unread.
OTHERS = {
    "estimator": "nwj",
    "local_critic": "concat",
    "global_critic": "dense",
    "critic_layer_norm": False,
    "critic_implementation": "reference",
    "negatives": 1,
    "locations": 1,
    "alpha": 0.5,
    "beta": 0.5,
    "gamma": 0.5,
    "coordinates": 0.5,
    "relative_coordinates": 0.5,
    "occlusion": True,
    "views": 2,
    "symmetric": False,
    "min_crop_scale": 0.5,
    "color_jitter_strength": 0.5,
    "prior": "gaussian",
    "prior_divergence": "jsd",
    "prior_penalty": 0.5,
}

WARM = {"critic_temperature": 0.5, "score_chunk": 2}  # not with what is in OTHERS
OF_PRIORS = {"prior": "gaussian", "prior_divergence": "jsd", "prior_penalty": 0.5}
IDLE = (  # settings of dim that its other settings leave without effect
    {**OF_PRIORS, "gamma": 0.0, "prior_matching": "mmd"},
    {**OF_PRIORS, "prior_matching": "mmd"},
    {"beta": 0.0, "coordinates": 1.0, "estimator": "nwj", "local_critic": "concat", "negatives": 1},
    {"beta": 0.0, "alpha": 1.0, "estimator": "nwj", "local_critic": "concat", "locations": 1},
    {"pairs": "global-conv", "locations": 1, "symmetric": False, "global_critic": "dense"},
    {"local_critic": "concat", "critic_implementation": "reference"},
)


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(Experiment.of(name="t", encoder="crops32x32"), (32, 32, 3))


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *((model, OTHERS) for model in (*MODELS, "generator")),
        *((model, WARM) for model in ("dim", "amdim", "simclr")),
        *(("dim", settings) for settings in IDLE),
    ],
)
def test_what_a_model_does_not_read_is_told(model, settings, encoder, monkeypatch):
    for made in (DeepInfoMax, Generator):
        monkeypatch.setattr(made, "build", lambda model: None)
    data = splits(32)
    wanted = Watched(name="t", model=model, critic_units=8, latent_dim=64, **settings)
    Watched.read.clear()
    if model == "generator":
        make_model(wanted, data)
    elif model in objectives.TERMS:
        objectives.make(wanted, encoder)
    else:
        baselines.make(wanted, encoder, data)
    of_models = {*settings, "mi_units"}
    assert of_models - Watched.read == set(wanted.unread)


@pytest.mark.parametrize("tasks", [(0.25, 0.5), (0.25, 0.0), (0.0, 0.5), (0.0, 0.0)])
def test_the_coordinate_tasks_have_their_weights(tasks, encoder):
    names = ("coordinates", "relative_coordinates")
    settings = dict(zip(names, tasks, strict=True))
    one_view, two_views = (
        objectives.make(Experiment.of(name="t", model=model, **settings), encoder).terms
        for model in ("dim", "amdim")
    )
    wanted = {name: weight for name, weight in settings.items() if weight}
    for found in (one_view, two_views):
        assert {term.name: term.weight for term in found if term.name in names} == wanted


def test_what_makes_views_is_not_read_where_there_is_one():
    of_views = {"min_crop_scale": 0.5, "color_jitter_strength": 0.5}
    one = Experiment.of(name="t", views=1, **of_views)
    assert one.unread == list(of_views)
    assert one.reader == "--model=dim --views=1"
    two = Experiment.of(name="t", views=2, **of_views)
    assert two.unread == []
    assert two.reader == "--model=dim --views=2"


@pytest.mark.parametrize(
    ("model", "views"),  # models beside dim do not read --views
    [("dim", 1), ("dim", 2), ("amdim", 1), ("simclr", 1), ("vicreg", 1), ("barlow_twins", 1)],
)
def test_settings_of_views_reach_the_images_that_are_encoded(model, views, monkeypatch):
    """Without crops and colours these are the images, flipped or not; with them they are others."""
    encoded = []
    call = Encoder.__call__

    def watched(encoder, images, **arguments):
        encoded.append(images)
        return call(encoder, images, **arguments)

    monkeypatch.setattr(Encoder, "__call__", watched)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    sides = np.stack([images, images[:, :, ::-1]])
    for crop, colours in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.5)):
        wanted = Experiment.of(
            name="t", model=model, views=views, critic_units=8, min_crop_scale=crop, color_jitter_strength=colours
        )
        made = make_model(wanted, splits(32))
        encoded.clear()
        made.objective(Batch(tf.constant(images)), StepRandom(0, 0))
        same = [(np.abs(sides - x.numpy()).max((2, 3, 4)) == 0).any(0).all() for x in encoded]
        plain = (crop, colours) == (1.0, 0.0) or (model == "dim" and views == 1)
        # Equal images are encoded once.
        passes = 1 if plain and model in ("dim", "amdim") else 2
        assert same == [plain] * passes


def test_what_some_models_alone_have_is_refused_elsewhere():
    assert refused_elsewhere() == {
        "kl_weight": ("beta_vae",),
        "temperature": ("simclr",),
        "pairs": ("dim", "amdim"),
    }


def test_settings_that_are_not_read_are_told_in_training(tmp_path, capsys):
    wanted = experiment("ae", tmp_path, steps=1, online_probe=False, occlusion=True)
    loop.train(wanted, splits())
    assert "train: --model=ae does not read --critic_units, --occlusion\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("model", NAMES)
def test_it_trains_from_its_settings_and_comes_back(tmp_path, model):
    data = splits(32 if model == "cpc" else 16)
    trained = loop.train(experiment(model, tmp_path, steps=2), data)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert "online_probe" in json.loads(lines[0])
    again, step = load_trained(experiment(model, tmp_path), data)
    assert step == 2
    for mine, theirs in zip(again.variables, trained.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@small.of_models()
def test_it_goes_on_from_a_checkpoint_exactly(tmp_path, make):
    batches = [Batch(*(tf.roll(x, shift, 0) for x in small.BATCH)) for shift in range(2)]
    keras.utils.clear_session()  # numbers names anew, as another process would
    straight = small.made(make)
    straight.train_step(batches[0])
    Checkpoints(straight, tmp_path, keep=1).save(1)
    keras.utils.clear_session()
    resumed = small.made(make)
    assert Checkpoints(resumed, tmp_path, keep=1).restore() == 1
    expected = straight.train_step(batches[1])
    for name, value in resumed.train_step(batches[1]).items():
        assert float(value) == float(expected[name]), name
    for mine, theirs in zip(resumed.variables, straight.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_settings_that_do_not_fit_are_told_by_their_flags():
    with pytest.raises(InputError, match=r"--model=cpc predicts .*--encoder=crops32x32"):
        experiment("cpc", encoder="basic", latent_dim=4)
    with pytest.raises(InputError, match="--model=cpc takes images of 32 or 64 pixels"):
        make_model(experiment("cpc", encoder="", latent_dim=64), splits())
    with pytest.raises(InputError, match=r"--model=aae: .*--gamma"):
        make_model(experiment("aae", gamma=0.0), splits())
    with pytest.raises(InputError, match="XLA cannot compile --model=nat"):
        make_model(experiment("nat", jit_compile="true"), splits())


def test_settings_of_other_models_are_refused():
    with pytest.raises(InputError, match="--kl_weight is for --model=beta_vae, not vae"):
        experiment("vae", kl_weight=2.0)
    with pytest.raises(InputError, match="--pairs is for --model=dim or amdim, not simclr"):
        experiment("simclr", pairs="global-global")
    for pairs in ("global", "global-nowhere", "global-local,global-local", "global-conv-local"):
        with pytest.raises(
            InputError, match=f"--pairs={pairs}; expected pairs QUERY-CONTEXT, none twice"
        ):
            experiment("amdim", pairs=pairs)
    with pytest.raises(InputError, match="--temperature is for --model=simclr, not vicreg"):
        experiment("vicreg", temperature=0.1)
    experiment("beta_vae", kl_weight=2.0)
    experiment("simclr", temperature=0.1)
