"""The weights that a run began with: when they are kept, and what is measured of them."""

import dataclasses
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import small_export
from small_backbone import small_backbone_encoder

from dim_tf import stages
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import RunError
from dim_tf.experiment import Experiment
from dim_tf.export import card
from dim_tf.training import initial_weights, loop, start_weights

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.integers(0, 256, (count, *SHAPE), np.uint8)
        return Split(images, np.arange(count) % 2)

    return Splits("random", split(20), split(8), ("even", "odd"), "random images")


def experiment(folder, **settings):
    defaults = {"batch_size": 4, "mi_units": 8, "steps": 2, "latent_dim": 4, "measures": "knn"}
    return Experiment(name="t", run_dir=str(folder), **{**defaults, **settings})


def weights_of_files(encoder):
    """What stands for weights from elsewhere."""
    rng = np.random.default_rng(7)
    return [rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in encoder.get_weights()]


@pytest.fixture
def with_files_weights(monkeypatch):
    """An encoder of --init_from begins with `weights_of_files`; those encoders, in their order."""
    encoders = []

    def assign(encoder, experiment):
        encoder.set_weights(weights_of_files(encoder))
        encoders.append(encoder)
        return f"of {experiment.init_from}"

    monkeypatch.setattr(initial_weights, "assign", assign)
    return encoders


def assert_same(encoder, weights):
    for mine, theirs in zip(encoder.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("encoder", "weights", "init_from", "given"),
    [
        ("", "auto", "", False),
        ("basic32x32", "auto", "", False),
        ("basic32x32", "auto", "runs/before", True),
        ("keras:ResNet50V2", "auto", "", False),
        ("keras:ResNet50V2", "random", "", False),
        ("keras:ResNet50V2", "imagenet", "", True),
        ("keras:ResNet50V2", "mine.weights.h5", "", True),
        ("keras:ResNet50V2", "random", "exported/before/1", True),
        ("keras_hub:vit_base", "auto", "", True),
        ("keras_hub:vit_base", "random", "", False),
        ("mine.keras", "auto", "", True),
        ("mine.keras", "random", "", False),
    ],
)
def test_which_encoders_begin_with_weights_from_elsewhere(encoder, weights, init_from, given):
    settings = SimpleNamespace(encoder=encoder, encoder_weights=weights, init_from=init_from)
    assert start_weights.begins_with_given_weights(settings) == given


@pytest.mark.parametrize("make", [small_export.small_encoder, small_backbone_encoder])
def test_weights_come_back(make, tmp_path):
    encoder, other = make(), make()
    encoder.set_weights(weights_of_files(encoder))
    assert not start_weights.exists(tmp_path)
    start_weights.save(encoder, tmp_path)
    assert start_weights.exists(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["start_weights.weights.h5"]
    start_weights.restore(other, tmp_path)
    assert_same(other, weights_of_files(encoder))


def test_a_file_that_does_not_fit_is_told_in_a_line(tmp_path):
    encoder = small_export.small_encoder()
    start_weights.save(encoder, tmp_path)
    path = tmp_path / start_weights.FILE
    with pytest.raises(RunError, match=r"start_weights.* cannot be restored .*--nofloors") as told:
        start_weights.restore(small_backbone_encoder(), tmp_path)
    assert "\n" not in str(told.value)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunError, match=r"cannot be restored .*--nofloors") as told:
        start_weights.restore(encoder, tmp_path)
    assert "\n" not in str(told.value)


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    encoder = small_export.small_encoder()
    start_weights.save(encoder, tmp_path)
    before = (tmp_path / start_weights.FILE).read_bytes()

    def fail(_, path, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", fail)
    with pytest.raises(RunError, match=r"start_weights.* could not be written: No space left"):
        start_weights.save(encoder, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [start_weights.FILE]
    assert (tmp_path / start_weights.FILE).read_bytes() == before


def test_the_references_of_a_run_are_random_start_weights_and_pixels(
    tmp_path, splits, monkeypatch, capsys
):
    """Each with the run's --max_features; the one with start weights where the run kept some."""
    trained = small_export.small_encoder()
    references, calls = [], []

    def random_encoder(*_):
        encoder = small_export.small_encoder()
        references.append(encoder)
        return encoder

    monkeypatch.setattr(stages, "load_trained", lambda *_: (SimpleNamespace(encoder=trained), 3))
    monkeypatch.setattr(stages, "random_encoder", random_encoder)
    monkeypatch.setattr(stages, "_evaluate", lambda *given: calls.append(given))
    settings = experiment(tmp_path, init_from="before", seed=4, max_features=100)
    stages.evaluate(settings, splits)
    assert list(calls[0][3]) == ["random_encoder", "pixels"]
    assert "start_weights.weights.h5 is missing in" in capsys.readouterr().out

    began = weights_of_files(trained)
    other = small_export.small_encoder()
    other.set_weights(began)
    start_weights.save(other, tmp_path)
    stages.evaluate(settings, splits)
    stages.evaluate(dataclasses.replace(settings, floors=False), splits)
    _, _, encode, floors, networks, _ = calls[1]
    assert list(floors) == ["random_encoder", "start_weights", "pixels"]
    assert_same(floors["start_weights"].args[0], began)
    assert networks.random_encoder is floors["random_encoder"].args[0]
    assert not np.array_equal(networks.random_encoder.get_weights()[0], began[0])
    for of in (encode, *floors.values()):
        assert of.keywords == {"max_features": 100}
    assert calls[2][3] == {}


def test_the_card_has_a_column_of_start_weights_where_they_were_measured():
    evaluation = {
        "knn": {"global": 0.5},
        "measures": {"knn": {}},
        "floors": {"random_encoder": {"knn": {"global": 0.25}}},
        "protocol": {"pooled": "conv: 7x7x2048 pooled to 2x2x2048"},
    }
    told = card.evaluation_table(evaluation)
    assert "| knn | global | 0.5000 | 0.2500 |" in told
    assert "tart weights" not in told
    assert "averaged: conv: 7x7x2048 pooled to 2x2x2048." in told
    evaluation["floors"]["start_weights"] = {"knn": {"global": 0.375}}
    told = card.evaluation_table(evaluation)
    assert "| measure | endpoint | this encoder | random weights | start weights |" in told
    assert "|---|---|---|---|---|" in told
    assert "| knn | global | 0.5000 | 0.2500 | 0.3750 |" in told
    assert "Start weights: those that training began with" in told


@pytest.mark.slow
def test_a_run_keeps_what_it_began_with_and_not_what_it_resumed(
    tmp_path, splits, with_files_weights
):
    settings = experiment(tmp_path, init_from="before")
    loop.train(settings, splits)
    encoder = with_files_weights[0]
    began = weights_of_files(encoder)
    assert not np.array_equal(encoder.get_weights()[0], began[0])  # it has learned
    path = tmp_path / start_weights.FILE
    written = path.stat().st_mtime_ns
    loop.train(dataclasses.replace(settings, steps=3), splits)
    assert path.stat().st_mtime_ns == written
    start_weights.restore(encoder, tmp_path)
    assert_same(encoder, began)
    loop.train(experiment(tmp_path, resume=False), splits)
    assert not path.exists()  # another run, of random weights


@pytest.mark.slow
def test_start_weights_stand_beside_random_ones_wherever_those_are_shown(
    tmp_path, splits, with_files_weights, capsys, monkeypatch
):
    settings = experiment(tmp_path, init_from="before")
    loop.train(settings, splits)
    seen = {}
    measure = stages.measure

    def spy(encode, floors, *more):
        seen.update({name: getattr(of, "args", None) for name, of in floors.items()})
        seen["networks"] = more[-1]
        return measure(encode, floors, *more)

    monkeypatch.setattr(stages, "measure", spy)
    stages.evaluate(settings, splits)
    began = weights_of_files(with_files_weights[-1])
    random_encoder, start_encoder = seen["random_encoder"][0], seen["start_weights"][0]
    assert_same(start_encoder, began)
    assert not np.array_equal(random_encoder.get_weights()[0], began[0])
    assert seen["networks"].random_encoder is random_encoder

    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    floors = evaluation["floors"]
    assert list(floors) == ["random_encoder", "start_weights", "pixels"]
    assert set(floors["start_weights"]["knn"]) == {"conv", "fc", "global"}
    assert (
        "of the encoder with random weights, of the encoder with the weights that training began "
        "with and of the raw pixels" in evaluation["protocol"]["floors"]
    )
    assert f"{'start_weights':>14}  knn " in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row">start weights</th>' in page
    assert 'class="dot start"' in page
    told = card.evaluation_table(evaluation)
    assert "| this encoder | random weights | start weights |" in told


@pytest.mark.slow
def test_without_floors_and_of_random_weights_there_is_no_such_reference(
    tmp_path, splits, with_files_weights
):
    random, none = tmp_path / "random", tmp_path / "none"
    loop.train(experiment(random), splits)
    stages.evaluate(experiment(random), splits)
    assert not start_weights.exists(random)
    evaluation = json.loads((random / "evaluation.json").read_text())
    assert list(evaluation["floors"]) == ["random_encoder", "pixels"]
    begun = experiment(none, init_from="before", floors=False)
    loop.train(begun, splits)
    (none / start_weights.FILE).write_bytes(b"damaged")
    stages.evaluate(begun, splits)
    assert json.loads((none / "evaluation.json").read_text())["floors"] == {}
