"""Every model of --model, from its settings to a checkpoint and back."""

import json

import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from dim_tf import registry
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment, model_settings
from dim_tf.system.errors import InputError
from dim_tf.training import loop
from dim_tf.training.checkpoints import Checkpoints
from dim_tf.training.model import load_trained, make_encoder, make_model
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import Encoder
from keras_models.generative.generator import Generator
from keras_models.objective_model import Batch

NAMES = [name for name in registry.MODELS if name not in ("dim", "generator")]


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
    return Experiment.of(name="t", run_dir=str(folder), model=model, **{**sizes, **settings})


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(Experiment.of(name="t", encoder="crops32x32"), (32, 32, 3))


@pytest.mark.parametrize("model", [name for name in registry.MODELS if name != "dim"])
def test_every_setting_of_a_model_is_read(model, encoder, monkeypatch):
    """Deep InfoMax's, some of which others leave without effect: test_dim.py."""
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
        watched.make(encoder, splits(32), Experiment.of(name="t", model=model, **flags))
        read_by_make |= read
    assert {field.name for field in settings.flags().values()} <= read_by_make


@pytest.mark.parametrize(
    ("model", "views"), [("dim", 1), ("dim", 2), ("simclr", 0), ("vicreg", 0), ("barlow_twins", 0)]
)
def test_settings_of_views_reach_the_images_that_are_encoded(model, views, monkeypatch):
    """Without crops and jitter these are the images, flipped or not; with them they are others."""
    encoded = []
    call = Encoder.__call__

    def watched(encoder, images, **arguments):
        encoded.append(images)
        return call(encoder, images, **arguments)

    monkeypatch.setattr(Encoder, "__call__", watched)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    sides = np.stack([images, images[:, :, ::-1]])
    prefix = model_settings(model).PREFIX
    dim_settings = {"views": views, "critic_units": 8} if model == "dim" else {}
    for crop, jitter in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.5)):
        of_views = {"min_crop_scale": crop, "color_jitter_strength": jitter}
        flags = {prefix + name: value for name, value in of_views.items()}
        trained = make_model(
            Experiment.of(name="t", model=model, **dim_settings, **flags), splits(32)
        )
        encoded.clear()
        trained.objective(Batch(tf.constant(images)), StepRandom(0, 0))
        same = [(np.abs(sides - x.numpy()).max((2, 3, 4)) == 0).any(0).all() for x in encoded]
        plain = (crop, jitter) == (1.0, 0.0) or views == 1
        # Equal images are encoded once.
        passes = 1 if plain and model == "dim" else 2
        assert same == [plain] * passes


def test_settings_without_effect_are_reported_in_training(tmp_path, capsys):
    settings = experiment("dim", tmp_path, steps=1, online_probe=False, min_crop_scale=0.5)
    loop.train(settings, splits())
    assert "train: --min_crop_scale has no effect: --views is 1\n" in capsys.readouterr().out


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
