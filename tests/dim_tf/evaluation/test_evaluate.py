"""Measuring an encoder: which features, which floors, what is written."""

import dataclasses
import gc
import json
import math
import weakref
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from joblib.externals.loky.process_executor import TerminatedWorkerError
from made_representations import Elsewhere

from dim_tf import stages
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import RunError
from dim_tf.evaluation import evaluate, excerpt, projection, representation
from dim_tf.evaluation.neighbours import NearestNeighbours
from dim_tf.evaluation.pictures import NeighbourPanel
from dim_tf.evaluation.probes import Probe
from dim_tf.evaluation.projection import PlaneProjections
from dim_tf.experiment import Experiment
from dim_tf.files import read_checked
from dim_tf.registry import FLOOR_MEASURES, MEASURES
from keras_models import encoders


def small_encoder(seed, channels=1):
    keras.utils.set_random_seed(seed)
    made = encoders.ConvNet((8, 8, channels), ((4, 4, 2, 1),), (8,), 0, 5)
    made.build()
    return made


@pytest.fixture
def splits():
    rng = np.random.default_rng(0)

    def split(count):
        return Split(rng.integers(0, 256, (count, 8, 8, 1), np.uint8), np.arange(count) % 3)

    return Splits("made", split(300), split(30), ("a", "b", "c"), "a note")


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_encoder(splits, channels):
    """Over several batches, with batch norm's moving statistics."""
    encoder = small_encoder(0, channels)
    found = representation.of_encoder(encoder, splits)
    images = splits.train.images.astype(np.float32) / 255 * 2 - 1
    wanted = encoder(np.repeat(images, channels, -1), training=False)
    assert list(found.train) == ["conv", "fc", "global"]
    for endpoint, features in found.train.items():
        flat = wanted[endpoint].numpy().reshape(300, -1)
        np.testing.assert_allclose(features, flat, atol=1e-5)
    assert found.test["conv"].shape == (30, 4 * 4 * 4)


def test_an_evaluation_has_floors_and_a_protocol(splits, tmp_path, monkeypatch):
    # The probes' training has tests of its own.
    monkeypatch.setattr(
        Probe, "predict", lambda _, __, ___, test, seed: np.eye(3)[test.argmax(1) % 3]
    )
    encoder, random_encoder = small_encoder(0), small_encoder(1)
    evaluation = evaluate.evaluate(
        partial(representation.of_encoder, encoder),
        {
            "random_encoder": partial(representation.of_encoder, random_encoder),
            "pixels": representation.of_pixels,
        },
        splits,
        Experiment.of(name="a", measures="knn,linear", probe_epochs=1, probe_seeds=1),
    )
    found = evaluation.figures
    endpoints = {"conv", "fc", "global"}
    for measure in ("knn", "linear_probe"):
        assert set(found[measure]) == endpoints
        assert set(found["floors"]["random_encoder"][measure]) == endpoints
        assert set(found["floors"]["pixels"][measure]) == {"pixels"}
        assert measure in found["protocol"]
        assert found["measures"][measure]["unit"] == "share"
        low, high = found["uncertainty"][measure]["conv"]["ci95"]
        assert low < found[measure]["conv"] < high
    assert found["uncertainty"]["linear_probe"]["conv"]["n"] == 1
    assert found["protocol"]["data"] == "a note"
    assert found["protocol"]["endpoints"] == "flattened: conv 64, fc 8, global 5"
    assert found["knn"]["conv"] != found["floors"]["random_encoder"]["knn"]["conv"]
    assert list(found["cost"]) == ["features", "knn", "linear", "floors"]
    assert [type(picture) for picture in evaluation.pictures].count(NeighbourPanel) == 2
    evaluate.write(tmp_path, found)
    assert json.loads((tmp_path / "evaluation.json").read_text())["knn"] == found["knn"]


def test_features_end_before_the_next_are_made(splits, monkeypatch):
    """CelebA's take gigabytes; also where a measure failed."""
    alive = []

    def encode(given):
        assert [ref() for ref in alive] == [None] * len(alive)
        made = representation.of_pixels(given)
        made = representation.Representation(
            {"global": made.train["pixels"]}, {"global": made.test["pixels"]}, given
        )
        alive.extend([weakref.ref(made), weakref.ref(made.train["global"])])
        alive.append(weakref.ref(made.test["global"]))
        return made

    monkeypatch.setattr(PlaneProjections, "run", lambda self: iter(()))  # t-SNE takes seconds
    gc.disable()  # it must not take a collection
    try:
        found = evaluate.evaluate(
            encode,
            {"random_encoder": encode, "pixels": encode},
            splits,
            Experiment.of(name="a", measures="knn,projection"),
        )
        assert [ref() for ref in alive] == [None] * 9
    finally:
        gc.enable()
    assert set(found.figures["floors"]["pixels"]) == {"knn"}
    assert found.projected.test["global"].shape == (30, 64)
    assert found.projected.train == {}


def test_one_that_fails_does_not_take_the_others_with_it(splits, monkeypatch):
    def fail(self):
        yield from ()
        raise RunError("it diverged")

    monkeypatch.setattr(NearestNeighbours, "run", fail)
    found = evaluate.evaluate(
        representation.of_pixels,
        {"pixels": representation.of_pixels},
        splits,
        Experiment.of(name="a", measures="knn,clusters"),
    )
    assert found.failed == {"knn": "it diverged", "knn of the raw pixels": "it diverged"}
    assert found.figures["protocol"]["knn"] == "failed: it diverged"
    assert found.figures["protocol"]["knn of the raw pixels"] == "failed: it diverged"
    assert "knn" not in found.figures["measures"]
    assert "knn" not in found.figures["floors"]["pixels"]
    assert 0 < found.figures["cluster_accuracy"]["pixels"] <= 1
    assert "cluster_accuracy" in found.figures["floors"]["pixels"]
    assert found.projected is None


def test_figures_that_came_before_a_failure_stay(splits, monkeypatch):
    run = NearestNeighbours.run

    def fail_after_one(self):
        yield next(iter(run(self)))
        raise RunError("it diverged")

    monkeypatch.setattr(NearestNeighbours, "run", fail_after_one)
    settings = Experiment.of(name="a", measures="knn")
    found = evaluate.evaluate(representation.of_pixels, {}, splits, settings)
    assert found.failed == {"knn": "it diverged"}
    assert 0 <= found.figures["knn"]["pixels"] <= 1
    assert found.figures["measures"]["knn"]["unit"] == "share"
    assert found.figures["protocol"]["knn"] == "failed: it diverged"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "MemoryError"),
        (ValueError("first\nsecond"), "first"),
        (TerminatedWorkerError("a worker was killed"), "a worker was killed"),
        (tf.errors.ResourceExhaustedError(None, None, "{{function_node f}} OOM"), "OOM"),
    ],
)
def test_what_a_machine_makes_fail_is_a_failed_measure(splits, monkeypatch, error, told):
    def fail(self):
        yield from ()
        raise error

    monkeypatch.setattr(NearestNeighbours, "run", fail)
    settings = Experiment.of(name="a", measures="knn")
    found = evaluate.evaluate(representation.of_pixels, {}, splits, settings)
    assert found.failed == {"knn": told}
    assert found.figures["protocol"]["knn"] == f"failed: {told}"


def test_all_else_is_written_before_the_failure_is_told(tmp_path, splits, monkeypatch):
    figures = {"measures": {}, "protocol": {"knn": "failed: it diverged"}}
    features = representation.Representation({}, {"global": np.ones((30, 2))}, splits)
    made = evaluate.Evaluation(figures, [], features, {"knn": "it diverged"})
    monkeypatch.setattr(stages, "measure", lambda *_: made)
    settings = Experiment.of(name="a", run_dir=str(tmp_path))
    with pytest.raises(RunError, match="knn: it diverged"):
        stages._evaluate(settings, splits, None, {}, None, {"step": 3})
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["protocol"] == {"knn": "failed: it diverged", "step": 3, "test_images": 30}
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "tensorboard/projector_config.pbtxt").exists()


def test_measures_are_those_of_the_flag():
    assert set(evaluate.MEASURES) == set(MEASURES)
    of_floors = {name for name, entry in evaluate.MEASURES.items() if entry.floor}
    assert of_floors == set(FLOOR_MEASURES)


def test_what_cannot_be_measured_is_named(splits):
    """Attributes have no classes, a SavedModel cannot be fine-tuned; no endpoint goes missing."""
    of_attributes = dataclasses.replace(
        splits,
        train=dataclasses.replace(splits.train, labels=np.eye(3, dtype=int)[splits.train.labels]),
        test=dataclasses.replace(splits.test, labels=np.eye(3, dtype=int)[splits.test.labels]),
    )
    settings = Experiment.of(name="a", measures="knn,svm,few_labels,fine_tuning")
    found = evaluate.evaluate(representation.of_pixels, {}, of_attributes, settings).figures
    assert set(found["measures"]) == {"knn_auc"}
    for name in ("svm", "few_labels", "fine_tuning"):
        assert "left out: needs one class an image" in found["protocol"][name]
    assert "missing in this encoder: conv, fc, global" in found["protocol"]["endpoints"]
    settings = Experiment.of(name="a", measures="fine_tuning")
    found = evaluate.evaluate(representation.of_pixels, {}, splits, settings).figures
    assert "left out: needs an encoder that can be trained" in found["protocol"]["fine_tuning"]


def test_without_labels_the_rest_is_measured(splits, monkeypatch, tmp_path):
    bare = dataclasses.replace(
        splits,
        train=Split(splits.train.images, None),
        test=Split(splits.test.images, None),
        label_names=(),
    )
    wanted = ("knn", "linear", "mlp", "clusters", "geometry", "projection")
    monkeypatch.setattr(projection, "neighbour_embedding", lambda _, start, *rest: start)  # seconds
    found = evaluate.evaluate(
        partial(representation.of_encoder, small_encoder(0)),
        {"pixels": representation.of_pixels},
        bare,
        Experiment.of(name="a", measures=",".join(wanted)),
    )
    assert not found.failed
    figures = found.figures
    for name in ("linear", "mlp", "clusters"):
        assert figures["protocol"][name] == "left out: needs labels; these images have none"
    assert "pictures alone" in figures["protocol"]["knn"]
    assert {"uniformity", "alignment", "pca_trustworthiness"} <= set(figures)
    assert "alignment" in figures["floors"]["pixels"]
    assert "attributes" not in figures
    panels = [p for p in found.pictures if isinstance(p, NeighbourPanel)]
    assert len(panels) == 2
    assert all(panel.same_label is None for panel in panels)
    settings = Experiment.of(name="a", run_dir=str(tmp_path))
    stages._write_report(settings, 0, figures, found.pictures)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Without labels no accuracy can be measured" in page


def test_measures_see_as_many_images_as_fit_into_memory(splits):
    """Of those that are on disk; with their labels."""
    on_disk = dataclasses.replace(
        splits, train=Split(Elsewhere(splits.train.images), splits.train.labels)
    )
    found = excerpt.of(on_disk, train_images=50, test_images=20)
    assert (len(found.train), len(found.test)) == (50, 30)  # the test images are in memory
    assert found.note == "a note Measured on 50 of the 300 training images, drawn at random."
    rows = [
        next(i for i, one in enumerate(splits.train.images) if np.array_equal(one, image))
        for image in found.train.images
    ]
    assert len(set(rows)) == 50
    np.testing.assert_array_equal(found.train.labels, splits.train.labels[rows])
    again = excerpt.of(on_disk, train_images=50, test_images=20)
    np.testing.assert_array_equal(again.train.images, found.train.images)
    assert excerpt.of(on_disk).note == "a note"


def test_probes_are_trained_on_the_images_that_have_labels(splits):
    unlabelled = Split(np.zeros((7, 8, 8, 1), np.uint8), None)
    found = excerpt.of(dataclasses.replace(splits, train=unlabelled, labelled=splits.train))
    assert found.train.images is splits.train.images
    assert found.has_classes


@pytest.mark.parametrize(
    ("trained", "gamma", "dim", "lack"),
    [
        (True, 0.1, 5, ""),
        (True, 0.0, 5, "--model=dim or aae with --gamma"),
        (False, 0.1, 5, "--model=dim or aae with --gamma"),
        (True, 0.1, 4 * 5, "has a map of them"),
    ],
)
def test_prior_match_is_of_one_global_feature_that_was_matched(splits, trained, gamma, dim, lack):
    encoder = small_encoder(0)
    features = representation.Representation({}, {"global": np.ones((30, dim))}, splits)
    subject = evaluate.Subject(
        features,
        representation.of_pixels,
        Experiment.of(name="a", gamma=gamma),
        1,
        evaluate.Networks(encoder, encoder) if trained else None,
    )
    told = evaluate.MEASURES["prior_match"].lacks(subject)
    assert lack in told
    assert bool(told) == bool(lack)


def test_what_is_not_finite_is_written_as_null(tmp_path):
    evaluate.write(tmp_path, {"a": {"b": math.nan, "c": 1.0}, "d": [math.inf, -math.inf]})
    written = read_checked(tmp_path / "evaluation.json")
    assert written == {"a": {"b": None, "c": 1.0}, "d": [None, None]}
