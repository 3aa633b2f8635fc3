"""The weights that a run began with: when they are kept, and what is measured of them."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import small_export
from small_backbone import small_backbone_encoder

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import card_metrics
from dim_tf.experiment import Experiment
from dim_tf.stages import evaluate
from dim_tf.system.errors import InputError, RunError
from dim_tf.training import encoder_config, init_from, loop, start_weights

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.integers(0, 256, (count, *SHAPE), np.uint8)
        return Split(images, np.arange(count) % 2)

    return Splits("random", split(20), split(8), ("even", "odd"), "random images")


def experiment(folder, **settings):
    defaults = {"batch_size": 4, "critic_units": 8, "steps": 2, "latent_dim": 4, "measures": "knn"}
    return Experiment.of(name="t", run_dir=str(folder), **{**defaults, **settings})


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
        return init_from.WeightsSource(Path(experiment.encoder.init_from), 7)

    monkeypatch.setattr(init_from, "load_weights", assign)
    return encoders


def assert_same(encoder, weights):
    for mine, theirs in zip(encoder.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("encoder", "weights", "init_from", "expected"),
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
def test_which_encoders_begin_with_weights_from_elsewhere(encoder, weights, init_from, expected):
    run = Experiment.of(name="t", encoder=encoder, encoder_weights=weights, init_from=init_from)
    assert start_weights.begins_pretrained(run) == expected


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


def test_a_file_that_does_not_fit_is_reported_in_a_line(tmp_path):
    encoder = small_export.small_encoder()
    start_weights.save(encoder, tmp_path)
    path = tmp_path / start_weights.FILE
    with pytest.raises(
        RunError, match=r"start_weights.* cannot be restored .*--noreferences"
    ) as error:
        start_weights.restore(small_backbone_encoder(), tmp_path)
    assert "\n" not in str(error.value)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunError, match=r"cannot be restored .*--noreferences") as error:
        start_weights.restore(encoder, tmp_path)
    assert "\n" not in str(error.value)


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

    monkeypatch.setattr(evaluate, "load_trained", lambda *_: (SimpleNamespace(encoder=trained), 3))
    monkeypatch.setattr(evaluate, "random_encoder", random_encoder)
    monkeypatch.setattr(evaluate, "_evaluate", lambda *arguments: calls.append(arguments))
    settings = experiment(tmp_path, init_from="before", seed=4, max_features=100)
    evaluate.evaluate(settings, splits)
    assert list(calls[0][3]) == ["random_weights", "pixels"]
    assert "start_weights.weights.h5 is missing in" in capsys.readouterr().out

    began = weights_of_files(trained)
    other = small_export.small_encoder()
    other.set_weights(began)
    start_weights.save(other, tmp_path)
    evaluate.evaluate(settings, splits)
    evaluate.evaluate(settings.replace(references=False), splits)
    _, _, encode, references, encoders, *_ = calls[1]
    assert list(references) == ["random_weights", "start_weights", "pixels"]
    assert_same(references["start_weights"].args[0], began)
    assert encoders.random is references["random_weights"].args[0]
    assert not np.array_equal(encoders.random.get_weights()[0], began[0])
    for of in (encode, *references.values()):
        assert of.keywords == {"max_features": 100}
    assert calls[2][3] == {}


FRACTION = {"unit": "fraction", "better": "higher", "title": ""}


def test_the_card_has_percent_intervals_and_all_references():
    evaluation = {
        "knn": {"conv": 0.52, "global": 0.5},
        "knn_auc": {"global": 0.75},
        "uncertainty": {"knn": {"global": {"std": None, "n": 1, "ci95": [0.344, 0.651]}}},
        "measures": {"knn": FRACTION, "knn_auc": FRACTION | {"unit": "auc"}},
        "references": {
            "random_weights": {"knn": {"global": 0.25}},
            "pixels": {"knn": {"pixels": 0.3}},
        },
        "protocol": {"pooled": "conv: 7x7x2048 pooled to 2x2x2048", "test_images": 40},
    }
    table = card_metrics.render(evaluation)
    titles = "| measure | endpoint | this encoder | 95 % interval | random weights | "
    assert titles + "raw pixels |" in table
    assert "| knn | conv | 52.0 % |  |  | 30.0 % |" in table
    assert "| knn | global | 50.0 % | 34.4 to 65.1 % | 25.0 % | 30.0 % |" in table
    assert "| knn_auc | global | 0.750 |" in table
    assert "Measured on 40 test images." in table
    assert "averaged: conv: 7x7x2048 pooled to 2x2x2048." in table
    assert "tart weights" not in table
    evaluation["references"]["start_weights"] = {"knn": {"global": 0.375}}
    evaluation["protocol"]["start_weights"] = "the weights of net.keras"
    table = card_metrics.render(evaluation)
    assert titles + "start weights | raw pixels |" in table
    assert "|---|---|---|---|---|---|---|" in table
    assert "| knn | global | 50.0 % | 34.4 to 65.1 % | 25.0 % | 37.5 % | 30.0 % |" in table
    assert "Start weights: training began with the weights of net.keras." in table


SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, ""),
        ({"encoder": "keras:VGG16"}, ""),
        ({"encoder": "/home/me/net.keras", "encoder_weights": "random"}, ""),
        (
            {"encoder": "keras:VGG16", "encoder_weights": "imagenet"},
            "ImageNet weights of keras:VGG16",
        ),
        ({"encoder": "keras_hub:vit"}, "the weights of keras_hub:vit"),
        (
            {"encoder": "/home/me/net.keras"},
            "the weights of net.keras (SHA-256 0123456789ab...)",
        ),
        (
            {"encoder": "keras:VGG16", "encoder_weights": "/home/me/own.h5"},
            "the weights of own.h5 (SHA-256 0123456789ab...)",
        ),
        ({"init_from": "/home/me/net"}, "the weights of step 30 of the run net (--init_from)"),
    ],
)
def test_the_weights_that_training_began_with_are_named_without_folders(
    settings, weights, tmp_path, monkeypatch
):
    config = encoder_config.EncoderConfig({}, {"encoder": SHA, "encoder_weights": SHA})
    monkeypatch.setattr(encoder_config, "read", lambda _: config)
    run = experiment(tmp_path, **settings)
    if run.encoder.init_from:
        source = init_from.WeightsSource(Path(run.encoder.init_from), 30)
        start_weights.save(small_export.small_encoder(), tmp_path, source)
    assert start_weights.describe(run) == weights


def test_a_run_whose_source_was_not_kept_names_the_folder(tmp_path):
    run = experiment(tmp_path, init_from="/home/me/net")
    assert start_weights.describe(run) == "the weights of net (--init_from)"
    (tmp_path / start_weights.SOURCE_FILE).write_text("{")
    with pytest.raises(InputError, match=r"start_weights.json cannot be read"):
        start_weights.describe(run)


def test_an_exports_weights_are_named_by_its_version():
    source = init_from.WeightsSource(Path("/home/me/exported/digits/3"))
    assert source.name == "the exported encoder digits, version 3"
    assert str(source) == "of the exported encoder /home/me/exported/digits/3"


@pytest.mark.parametrize(
    ("frozen_steps", "scale", "expected"),
    [
        (0, 1.0, ""),
        (500, 0.1, ", frozen for the first 500 steps, then trained at 0.1 times the learning rate"),
        (0, 0.1, ", trained at 0.1 times the learning rate"),
        (500, 1.0, ", frozen for the first 500 steps"),
        (1000, 0.1, ", frozen throughout"),
    ],
)
def test_the_description_of_a_frozen_backbone(tmp_path, frozen_steps, scale, expected):
    freezing = {"frozen_steps": frozen_steps, "backbone_learning_rate_scale": scale}
    run = experiment(tmp_path, encoder="keras:VGG16", **freezing)
    assert start_weights.describe_freezing(run, 1000) == expected


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
    loop.train(settings.replace(steps=3), splits)
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
    run_measures = evaluate.run_measures

    def spy(encode, references, splits, experiment, encoders, assign_clusters):
        seen.update({name: getattr(of, "args", None) for name, of in references.items()})
        seen["encoders"] = encoders
        return run_measures(encode, references, splits, experiment, encoders, assign_clusters)

    monkeypatch.setattr(evaluate, "run_measures", spy)
    evaluate.evaluate(settings, splits)
    began = weights_of_files(with_files_weights[-1])
    random_encoder, start_encoder = seen["random_weights"][0], seen["start_weights"][0]
    assert_same(start_encoder, began)
    assert not np.array_equal(random_encoder.get_weights()[0], began[0])
    assert seen["encoders"].random is random_encoder

    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    references = evaluation["references"]
    assert list(references) == ["random_weights", "start_weights", "pixels"]
    endpoints = {"conv", "fc", "global", evaluation["feature"]["name"]}
    assert set(references["start_weights"]["knn"]) == endpoints
    assert (
        "of random weights, of start weights and of raw pixels"
        in evaluation["protocol"]["references"]
    )
    assert f"{'start_weights':>14}  knn " in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row">start weights</th>' in page
    assert 'class="dot start"' in page
    table = card_metrics.render(evaluation)
    assert "| random weights | start weights | raw pixels |" in table
    assert "Start weights: training began with the weights of step 7 of the run before" in table
    assert "Measured on 8 test images." in table
    assert "the weights of step 7 of the run before (--init_from)" in page


@pytest.mark.slow
def test_there_are_no_start_weights_without_references_or_of_random_weights(
    tmp_path, splits, with_files_weights
):
    random, none = tmp_path / "random", tmp_path / "none"
    loop.train(experiment(random), splits)
    evaluate.evaluate(experiment(random), splits)
    assert not start_weights.exists(random)
    evaluation = json.loads((random / "evaluation.json").read_text())
    assert list(evaluation["references"]) == ["random_weights", "pixels"]
    begun = experiment(none, init_from="before", references=False)
    loop.train(begun, splits)
    (none / start_weights.FILE).write_bytes(b"damaged")
    evaluate.evaluate(begun, splits)
    assert json.loads((none / "evaluation.json").read_text())["references"] == {}
