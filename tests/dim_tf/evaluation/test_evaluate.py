"""Measuring an encoder: which features, which references, what is written."""

import dataclasses
import gc
import json
import weakref
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sample_representations import random_splits, small_encoder

from dim_tf.data.splits import Split
from dim_tf.evaluation import evaluate, evaluation_file, representation
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.figures import NeighbourPanel
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.measures import projection
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.measures.probes import Probe
from dim_tf.evaluation.measures.projection import PlaneProjections
from dim_tf.experiment import Experiment
from dim_tf.registry import DEFAULT_MEASURES, MEASURES, REFERENCE_MEASURES
from dim_tf.stages import evaluate as evaluate_stage
from dim_tf.system.errors import RunError


@pytest.fixture
def splits():
    return random_splits()


def test_an_evaluation_has_references_and_a_protocol(splits, tmp_path, monkeypatch):
    # The probes' training has tests of its own.
    monkeypatch.setattr(Probe, "predict", lambda _, __, ___, test: np.eye(3)[[test.argmax(1) % 3]])
    encoder, random_encoder = small_encoder(0), small_encoder(1)
    evaluation = evaluate.run_measures(
        partial(representation.from_encoder, encoder),
        {
            "random_weights": partial(representation.from_encoder, random_encoder),
            "pixels": representation.from_pixels,
        },
        splits,
        Experiment.of(name="a", measures="knn,linear", probe_epochs=1, probe_seeds=1),
    )
    content = evaluation.content
    endpoints = {"conv", "fc", "global", content["feature"]["name"]}
    for measure in ("knn", "linear_probe"):
        assert set(content[measure]) == endpoints
        assert set(content["references"]["random_weights"][measure]) == endpoints
        assert set(content["references"]["pixels"][measure]) == {"pixels"}
        assert measure in content["protocol"]
        assert content["measures"][measure]["unit"] == "fraction"
        low, high = content["uncertainty"][measure]["conv"]["ci95"]
        assert low < content[measure]["conv"] < high
    assert content["uncertainty"]["linear_probe"]["conv"]["n"] == 1
    assert content["protocol"]["data"] == "a note"
    assert content["protocol"]["endpoints"] == "flattened: conv 64, fc 8, global 5"
    assert content["knn"]["conv"] != content["references"]["random_weights"]["knn"]["conv"]
    assert list(content["cost"]) == ["features", "feature", "knn", "linear", "references"]
    assert [type(figure) for figure in evaluation.figures].count(NeighbourPanel) == 2
    evaluation_file.write(tmp_path, content)
    assert json.loads((tmp_path / "evaluation.json").read_text())["knn"] == content["knn"]


@pytest.mark.parametrize("feature", ["local_pooled", "fc"])
def test_the_feature_that_is_asked_for_is_measured_and_written(splits, capsys, feature):
    """Also where it is no endpoint that all measures take; its references have it too."""
    content = evaluate.run_measures(
        partial(representation.from_encoder, small_encoder(0)),
        {"random_weights": partial(representation.from_encoder, small_encoder(1))},
        splits,
        Experiment.of(name="a", measures="knn,geometry", feature=feature),
    ).content
    assert (content["feature"]["name"], content["feature"]["chosen"]) == (feature, "by --feature")
    assert content["feature"]["dimensions"] == {"global": 5, "fc": 8, "conv": 64, "local_pooled": 4}
    assert set(content["feature"]["validation"]) == {"global", "fc", "conv", "local_pooled"}
    endpoints = {"conv", "fc", "global", feature}
    for metric in ("knn", "alignment"):
        assert set(content[metric]) == endpoints
    assert set(content["references"]["random_weights"]["knn"]) == endpoints
    assert f"evaluate: feature: {feature}, --feature names it" in capsys.readouterr().out


def test_features_end_before_the_next_are_made(splits, monkeypatch):
    """CelebA's take gigabytes; also where a measure failed."""
    alive = []

    def encode(data):
        assert [ref() for ref in alive] == [None] * len(alive)
        pixels = representation.from_pixels(data)
        features = representation.Representation(
            {"global": pixels.train["pixels"]}, {"global": pixels.test["pixels"]}, data
        )
        alive.extend([weakref.ref(features), weakref.ref(features.train["global"])])
        alive.append(weakref.ref(features.test["global"]))
        return features

    monkeypatch.setattr(PlaneProjections, "run", lambda self: iter(()))  # t-SNE takes seconds
    gc.disable()  # it must not take a collection
    try:
        evaluation = evaluate.run_measures(
            encode,
            {"random_weights": encode, "pixels": encode},
            splits,
            Experiment.of(name="a", measures="knn,projection"),
        )
        assert [ref() for ref in alive] == [None] * 9
    finally:
        gc.enable()
    assert set(evaluation.content["references"]["pixels"]) == {"knn"}
    assert evaluation.projected.test["global"].shape == (30, 64)
    assert evaluation.projected.train == {}


def test_one_that_fails_does_not_take_the_others_with_it(splits, monkeypatch):
    def fail(self):
        yield from ()
        raise RunError("it diverged")

    monkeypatch.setattr(NearestNeighbours, "run", fail)
    evaluation = evaluate.run_measures(
        representation.from_pixels,
        {"pixels": representation.from_pixels},
        splits,
        Experiment.of(name="a", measures="knn,clusters"),
    )
    assert evaluation.failed == {"knn": "it diverged", "knn of raw pixels": "it diverged"}
    assert evaluation.content["protocol"]["knn"] == "failed: it diverged"
    assert evaluation.content["protocol"]["knn of raw pixels"] == "failed: it diverged"
    assert "knn" not in evaluation.content["measures"]
    assert "knn" not in evaluation.content["references"]["pixels"]
    assert 0 < evaluation.content["cluster_accuracy"]["pixels"] <= 1
    assert "cluster_accuracy" in evaluation.content["references"]["pixels"]
    assert evaluation.projected is None


def test_results_that_came_before_a_failure_stay(splits, monkeypatch):
    run = NearestNeighbours.run

    def fail_after_one(self):
        yield next(iter(run(self)))
        raise RunError("it diverged")

    monkeypatch.setattr(NearestNeighbours, "run", fail_after_one)
    settings = Experiment.of(name="a", measures="knn")
    evaluation = evaluate.run_measures(representation.from_pixels, {}, splits, settings)
    assert evaluation.failed == {"knn": "it diverged"}
    assert 0 <= evaluation.content["knn"]["pixels"] <= 1
    assert evaluation.content["measures"]["knn"]["unit"] == "fraction"
    assert evaluation.content["protocol"]["knn"] == "failed: it diverged"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "MemoryError"),
        (ValueError("first\nsecond"), "first"),
        (TerminatedWorkerError("a worker was killed"), "a worker was killed"),
        (tf.errors.ResourceExhaustedError(None, None, "{{function_node f}} OOM"), "OOM"),
    ],
)
def test_what_a_machine_makes_fail_is_a_failed_measure(splits, monkeypatch, error, reason):
    def fail(self):
        yield from ()
        raise error

    monkeypatch.setattr(NearestNeighbours, "run", fail)
    settings = Experiment.of(name="a", measures="knn")
    evaluation = evaluate.run_measures(representation.from_pixels, {}, splits, settings)
    assert evaluation.failed == {"knn": reason}
    assert evaluation.content["protocol"]["knn"] == f"failed: {reason}"


def test_all_else_is_written_before_the_failure_is_told(tmp_path, splits, monkeypatch):
    content = {"measures": {}, "protocol": {"knn": "failed: it diverged"}}
    data = EvaluationData.from_splits(splits)
    features = representation.Representation({}, {"global": np.ones((30, 2))}, data)
    evaluation = evaluate.Evaluation(content, [], features, {"knn": "it diverged"})
    monkeypatch.setattr(evaluate_stage, "run_measures", lambda *_: evaluation)
    settings = Experiment.of(name="a", run_dir=str(tmp_path))
    with pytest.raises(RunError, match="knn: it diverged"):
        evaluate_stage._evaluate(settings, splits, None, {}, None, {"step": 3})
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["protocol"] == {
        "knn": "failed: it diverged",
        "step": 3,
        "test_images": 30,
        "verdict": "none: needs references; none was measured (--noreferences)",
    }
    assert written["verdict"] is None
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "tensorboard/projector_config.pbtxt").exists()


def test_features_in_files_give_the_same_values(splits, tmp_path):
    """Of probes in their own tests; no file of features is left."""
    kinds = []

    def encode(data):
        measured = representation.from_encoder(small_encoder(0), data)
        kinds.append({type(features) for features in measured.train.values()})
        return measured

    contents = []
    for memory in (1.0, 1e-9):
        settings = Experiment.of(
            name="a",
            run_dir=str(tmp_path),
            measures="knn,clusters,geometry",
            memory=memory,
        )
        contents.append(evaluate.run_measures(encode, {}, splits, settings).content)
    assert kinds == [{np.ndarray}] * 2 + [{np.memmap}] * 2  # with the views of the geometry
    for name in contents[0]["measures"]:
        assert contents[0][name] == pytest.approx(contents[1][name], abs=1e-6)
    assert set(contents[0]["measures"]) > {"knn", "cluster_nmi", "alignment", "effective_rank"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("memory", "limit"), [(0.0, 500), (2.0, 2**31)])
def test_by_default_half_of_the_free_memory_is_taken(monkeypatch, memory, limit, splits):
    monkeypatch.setattr(evaluate.memory, "available_bytes", lambda: 1000)
    limits = []

    class Watched(evaluate.ArrayStorage):
        def __init__(self, *arguments):
            limits.append(arguments[0])
            super().__init__()

    monkeypatch.setattr(evaluate, "ArrayStorage", Watched)
    settings = Experiment.of(name="a", measures="knn", memory=memory)
    evaluate.run_measures(representation.from_pixels, {}, splits, settings)
    assert limits == [limit]


def test_every_measure_of_the_flag_can_be_imported():
    assert all(isinstance(evaluate.spec(name), MeasureSpec) for name in MEASURES)


def test_quick_measures_are_in_the_order_of_the_report():
    for names in (DEFAULT_MEASURES, REFERENCE_MEASURES):
        assert [name for name in MEASURES if name in names] == list(names)


def test_what_cannot_be_measured_is_named(splits):
    """Attributes have no classes, a SavedModel cannot be fine-tuned; no endpoint goes missing."""
    of_attributes = dataclasses.replace(
        splits,
        train=dataclasses.replace(splits.train, labels=np.eye(3, dtype=int)[splits.train.labels]),
        test=dataclasses.replace(splits.test, labels=np.eye(3, dtype=int)[splits.test.labels]),
    )
    settings = Experiment.of(name="a", measures="knn,svm,few_labels,fine_tuning")
    content = evaluate.run_measures(representation.from_pixels, {}, of_attributes, settings).content
    assert set(content["measures"]) == {"knn_auc"}
    for name in ("svm", "few_labels", "fine_tuning"):
        assert "left out: needs one class an image" in content["protocol"][name]
    assert "missing in this encoder: conv, fc, global" in content["protocol"]["endpoints"]
    settings = Experiment.of(name="a", measures="fine_tuning")
    content = evaluate.run_measures(representation.from_pixels, {}, splits, settings).content
    assert "left out: needs an encoder that can be trained" in content["protocol"]["fine_tuning"]


def test_without_labels_the_rest_is_measured(splits, monkeypatch, tmp_path):
    bare = dataclasses.replace(
        splits,
        train=Split(splits.train.images, None),
        test=Split(splits.test.images, None),
        label_names=(),
    )
    wanted = ("knn", "linear", "mlp", "clusters", "geometry", "projection")
    monkeypatch.setattr(projection, "neighbour_embedding", lambda _, start, *rest: start)  # seconds
    evaluation = evaluate.run_measures(
        partial(representation.from_encoder, small_encoder(0)),
        {"pixels": representation.from_pixels},
        bare,
        Experiment.of(name="a", measures=",".join(wanted)),
    )
    assert not evaluation.failed
    content = evaluation.content
    for name in ("linear", "mlp", "clusters"):
        assert content["protocol"][name] == "left out: needs labels; these images have none"
    assert "figures alone" in content["protocol"]["knn"]
    assert {"uniformity", "alignment", "pca_trustworthiness"} <= set(content)
    assert {"alignment", "rotation_probe"} <= set(content["references"]["pixels"])
    assert set(content["rotation_probe"]) == {"conv", "fc", "global"}  # for the verdict
    assert "attributes" not in content
    panels = [p for p in evaluation.figures if isinstance(p, NeighbourPanel)]
    assert len(panels) == 2
    assert all(panel.same_label is None for panel in panels)
    settings = Experiment.of(name="a", run_dir=str(tmp_path))
    evaluate_stage._write_report(settings, 0, content, evaluation.figures)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Without labels no accuracy can be measured" in page
