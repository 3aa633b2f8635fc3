"""Every model of --model, from its settings to a checkpoint and back."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from dim_tf import registry
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment, model_settings
from dim_tf.models.fitted import FittedModel
from dim_tf.system.errors import InputError
from dim_tf.training import loop
from dim_tf.training.checkpoints import Checkpoints
from dim_tf.training.model import load_trained, make_encoder, make_model
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import Encoder
from keras_models.generative.generator import Generator
from keras_models.objective_model import Batch

FITTED = [name for name in registry.MODELS if issubclass(model_settings(name), FittedModel)]
NAMES = [name for name in registry.MODELS if name not in ("dim", "generator", *FITTED)]


def splits(side=16):
    images = np.random.default_rng(0).integers(0, 256, (12, side, side, 3), np.uint8)
    split = Split(images, np.arange(12) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


def experiment(model, folder="", **settings):
    sizes = {"batch_size": 4, "latent_dim": 4}
    if model == "dim":
        sizes |= {"critic_units": 8}
    if model == "cpc":
        sizes |= {"latent_dim": 64}  # the encoder is that of crops
    if model in registry.FLOWS:
        sizes |= {"latent_dim": 64}  # the default: the latent has the image's size
    return Experiment.of(name="t", run_dir=str(folder), model=model, **{**sizes, **settings})


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(Experiment.of(name="t", encoder="crops32x32"), (32, 32, 3))


@pytest.mark.parametrize("model", [*NAMES, "generator"])
def test_every_setting_of_a_model_is_read(model, encoder, monkeypatch):
    """Deep InfoMax's, some of which others leave without effect: test_dim.py.

    Those of models that are fitted: test_fit.py.
    """
    settings = model_settings(model)
    read = set()

    class Watched(settings):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    monkeypatch.setattr(Generator, "build", lambda model: None)
    # Of imsat each leaves some without effect.
    variants = {"imsat": ({}, {"invariance": "augmentation"})}.get(model, ({},))
    read_by_make = set()
    for values in variants:
        flags = {settings.PREFIX + name: value for name, value in values.items()}
        watched = Watched(**values)
        read.clear()
        experiment = Experiment.of(name="t", model=model, batch_size=4, **flags)
        watched.make(encoder, splits(32), experiment)
        read_by_make |= read
    assert {field.name for field in settings.flags().values()} <= read_by_make


@pytest.mark.parametrize("name", ["bigan", "ali"])
def test_models_of_pairs_have_the_weights_of_their_flags(name, encoder):
    flags = {f"{name}.prior_penalty": 2.0, f"{name}.reconstruction": 0.5}
    of = Experiment.of(name="t", model=name, batch_size=4, seed=3, **flags)
    model = of.model.make(encoder, splits(32), of)
    assert (model.penalty, model.reconstruction, model.seed) == (2.0, 0.5, 3)


@pytest.mark.parametrize(
    ("model", "settings", "without", "with_any"),
    [
        ("dim", {"views": 1, "critic_units": 8}, [True], [True]),
        ("dim", {"views": 2, "critic_units": 8}, [True], [False, False]),  # equal ones once
        ("simclr", {}, [True, True], [False, False]),
        ("vicreg", {}, [True, True], [False, False]),
        ("barlow_twins", {}, [True, True], [False, False]),
        ("iic", {}, [True, True], [False, False]),
        ("imsat", {"imsat.invariance": "augmentation"}, [True, True], [True, False]),
        ("exemplar", {"exemplar.rotation": 0.0}, [True], [False]),
        # Two patches follow the changed copy.
        ("multi_task", {"multi_task.rotation": 0.0}, [True, False, False], [False] * 3),
    ],
)
def test_settings_of_views_reach_the_images_that_are_encoded(
    model, settings, without, with_any, monkeypatch
):
    """Without crops and jitter these are the images, flipped or not; with either they are others.

    `without` and `with_any` say of each pass of the encoder whether it has the images.
    """
    encoded = []
    call = Encoder.__call__

    def watched(encoder, images, **arguments):
        encoded.append(images)
        return call(encoder, images, **arguments)

    monkeypatch.setattr(Encoder, "__call__", watched)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    sides = np.stack([images, images[:, :, ::-1]])
    prefix = model_settings(model).PREFIX
    for crop, jitter in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.5)):
        of_views = {"min_crop_scale": crop, "color_jitter_strength": jitter}
        flags = {prefix + name: value for name, value in of_views.items()}
        trained = make_model(
            Experiment.of(name="t", model=model, batch_size=4, **settings, **flags), splits(32)
        )
        encoded.clear()
        batch = Batch(tf.constant(images), None, tf.range(4))
        trained.objective(batch, StepRandom(0, 0))
        same = [(np.abs(sides - x.numpy()).max((2, 3, 4)) == 0).any(0).all() for x in encoded]
        assert same == (without if (crop, jitter) == (1.0, 0.0) else with_any)


def test_a_run_that_ends_in_the_pretraining_says_that_it_has_no_clustering(tmp_path, capsys):
    settings = experiment("dec", tmp_path, steps=1, online_probe=False)
    assert settings.model.left_out(settings.model.pretraining_steps + 1) == ""
    assert settings.model.left_out(settings.model.pretraining_steps) != ""
    loop.train(settings, splits())
    assert (
        "train: clustering begins after step 3,900, so this run has none; give fewer "
        "--dec.pretraining_steps, or more --epochs or --steps\n"
    ) in capsys.readouterr().out


def test_settings_without_effect_are_reported_in_training(tmp_path, capsys):
    settings = experiment("dim", tmp_path, steps=1, online_probe=False, min_crop_scale=0.5)
    loop.train(settings, splits())
    assert "train: --min_crop_scale has no effect: --views is 1\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("model", NAMES)
def test_it_trains_from_its_settings_and_comes_back(tmp_path, model):
    data = splits(32 if model == "cpc" else 16)
    last = 4 if model == "stacked_denoising_ae" else 2  # a step for each layer
    settings = experiment(model, tmp_path, steps=last)
    trained = loop.train(settings, data)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [*range(1, last + 1)]
    assert "online_probe" in json.loads(lines[0])
    again, step = load_trained(settings, data)
    assert step == last
    for mine, theirs in zip(again.variables, trained.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


@small.of_models()
def test_it_goes_on_from_a_checkpoint_exactly(tmp_path, make):
    batches = [Batch(*(tf.roll(x, shift, 0) for x in small.BATCH)) for shift in range(2)]
    keras.utils.clear_session()  # numbers names anew, as another process would
    straight = small.build(make)
    straight.train_step(batches[0])
    Checkpoints(straight, tmp_path, keep=1).save(1)
    keras.utils.clear_session()
    resumed = small.build(make)
    assert Checkpoints(resumed, tmp_path, keep=1).restore() == 1
    expected = straight.train_step(batches[1])
    for name, value in resumed.train_step(batches[1]).items():
        assert float(value) == float(expected[name]), name
    for mine, theirs in zip(resumed.variables, straight.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_settings_that_do_not_fit_are_named_by_their_flags():
    with pytest.raises(InputError, match=r"--model=cpc predicts .*--encoder=crops32x32"):
        experiment("cpc", encoder="basic", latent_dim=4)
    with pytest.raises(InputError, match="--model=cpc takes images of 32 or 64 pixels"):
        make_model(experiment("cpc", encoder="", latent_dim=64), splits())
    with pytest.raises(InputError, match=r"--aae\.gamma=0.0; expected more than 0"):
        experiment("aae", **{"aae.gamma": 0.0})
    with pytest.raises(InputError, match="XLA cannot compile --model=nat"):
        make_model(experiment("nat", jit_compile="true"), splits())
    with pytest.raises(InputError, match=r"--denoising_ae\.masked and .*noise_stddev are both 0"):
        experiment("denoising_ae", **{"denoising_ae.masked": 0.0})
    with pytest.raises(InputError, match="--model=nice is its own encoder, and cannot train basic"):
        experiment("nice", encoder="basic")
    with pytest.raises(InputError, match="--encoder=realnvp has as many features as an image has"):
        make_model(experiment("realnvp", latent_dim=4), splits())
    with pytest.raises(InputError, match=r"--encoder=nice: a flow takes images .* not 18x18"):
        make_model(experiment("nice"), splits(18))
    with pytest.raises(InputError, match=r"trains the 4 layers .* and 3 steps are too few"):
        make_model(experiment("stacked_denoising_ae", steps=3), splits())
    with pytest.raises(InputError, match="--minutes: the steps of --model=stacked_denoising_ae"):
        experiment("stacked_denoising_ae", minutes=1, epochs=0)
    of_one_class = dataclasses.replace(splits(), label_names=("one",))
    with pytest.raises(InputError, match="--model=vib has nothing to tell apart"):
        make_model(experiment("vib"), of_one_class)


def test_the_length_of_a_run_whose_layers_share_it_is_part_of_the_experiment():
    ten, twenty = (experiment("stacked_denoising_ae", epochs=epochs) for epochs in (10, 20))
    assert ten.differences(twenty) == ["epochs: 20 -> 10"]
    assert experiment("denoising_ae", epochs=10).differences(experiment("denoising_ae")) == []
