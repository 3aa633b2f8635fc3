"""Probes, neighbours, SVM: an ideal representation scores high, a constant one low."""

import re

import numpy as np
import pytest
from sample_representations import NUM_CLASSES, evaluation_data, measured, representation

from dim_tf.evaluation import probe_training
from dim_tf.evaluation.measures import probes
from dim_tf.evaluation.measures.few_labels import FewLabels
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.measures.probes import Probe
from dim_tf.evaluation.measures.svm import SupportVectorMachine
from dim_tf.evaluation.representation import Representation
from dim_tf.experiment import Experiment
from dim_tf.system.errors import RunError

MAKERS = {
    "linear_probe": lambda r: Probe(r, hidden=False, epochs=20, seeds=1, learning_rate=5e-2),
    "mlp_probe": lambda r: Probe(r, hidden=True, epochs=15, seeds=1, learning_rate=3e-3),
    "knn": NearestNeighbours,
    "svm": SupportVectorMachine,
    "linear_probe_10_percent": lambda r: FewLabels(r, 15, 1, 5e-2, percentages=(10,)),
}
FAST_MAKERS = {
    "linear_probe": lambda r: Probe(r, hidden=False, epochs=1, seeds=2, fast=True),
    "mlp_probe": lambda r: Probe(r, hidden=True, epochs=1, seeds=1, fast=True),
    "linear_probe_10_percent": lambda r: FewLabels(r, 1, 1, percentages=(10,), fast=True),
}


@pytest.mark.parametrize("name", MAKERS)
def test_ideal_and_random(name):
    assert measured("ideal", MAKERS[name])[name].value == 1.0
    assert measured("random", MAKERS[name])[name].value < 0.45


@pytest.mark.parametrize("name", FAST_MAKERS)
def test_fast_probes_of_ideal_and_random(name):
    ideal, random = (measured(quality, FAST_MAKERS[name]) for quality in ("ideal", "random"))
    assert ideal[name].value == 1.0
    assert random[name].value < 0.45


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_fast_linear_probe_has_one_solution(multi_label):
    data = evaluation_data(multi_label=multi_label)
    probe = FAST_MAKERS["linear_probe"](representation("duplicated", data))
    results = list(probe.run())
    assert {result.uncertainty.n for result in results} == {1}
    assert results[0].value == 1.0
    (protocol,) = probe.protocol.values()
    assert re.search(r"logistic regression \(--probe=fast\).*: \d+ of global; test", protocol)


def test_fast_probes_are_the_default_for_folders():
    def is_fast(**settings):
        return probes.is_fast(Experiment.of(name="a", **settings))

    assert not is_fast(dataset="digits")
    assert is_fast(dataset="digits", probe="fast")
    assert is_fast(dataset="folder", data_dir="images")
    assert not is_fast(dataset="folder", data_dir="images", probe="authors")


@pytest.mark.parametrize(
    "name",
    [
        "linear_probe",
        "knn",
        "svm",
        pytest.param("mlp_probe", marks=pytest.mark.slow),
        pytest.param("linear_probe_10_percent", marks=pytest.mark.slow),
    ],
)
def test_duplicated_and_constant(name):
    assert measured("duplicated", MAKERS[name])[name].value == 1.0
    assert measured("constant", MAKERS[name])[name].value < 0.45


@pytest.mark.parametrize(
    "name", ["linear_probe", pytest.param("mlp_probe", marks=pytest.mark.slow)]
)
def test_attributes(name):
    ideal = measured("ideal", MAKERS[name], multi_label=True)
    assert ideal[f"{name}_auc"].value == 1.0
    assert ideal[f"{name}_balanced_accuracy"].value == 1.0
    assert {row["auc"] for row in ideal[f"{name}_auc"].attributes.values()} == {1.0}
    assert list(ideal[f"{name}_auc"].attributes) == list("abcd")
    constant = measured("constant", MAKERS[name], multi_label=True)
    # Equal features get scores that may differ in the last digit from batch to batch.
    assert constant[f"{name}_auc"].value == pytest.approx(0.5, abs=0.01)
    assert constant[f"{name}_accuracy"].value == constant[f"{name}_majority"].value


def test_the_scale_of_features_does_not_change_a_linear_probe():
    """Else random weights, whose features are small, would look worse than they are."""
    data = evaluation_data()
    ideal = representation("ideal", data)
    noise = np.random.default_rng(2).normal(0, 0.5, (2, 256, NUM_CLASSES)).astype(np.float32)

    def probed(scale, shift):
        def features(one_hot, noise):
            return {"global": (one_hot["global"] + noise[: len(one_hot["global"])]) * scale + shift}

        r = Representation(features(ideal.train, noise[0]), features(ideal.test, noise[1]), data)
        return next(iter(Probe(r, hidden=False, epochs=5, seeds=1, learning_rate=2e-2).run())).value

    plain = probed(1.0, 0.0)
    assert 0.45 < plain < 0.9
    assert probed(2.0**-7, 0.0) == plain
    assert probed(2.0**-7, 0.25) == pytest.approx(plain, abs=0.02)


@pytest.mark.slow
def test_seeds_are_averaged_and_repeatable():
    def make(r):
        return Probe(r, hidden=True, epochs=3, seeds=3)

    first, again = (measured("random", make)["mlp_probe"] for _ in range(2))
    assert first == again
    assert first.uncertainty.n == 3
    assert first.uncertainty.std > 0
    low, high = first.uncertainty.ci95
    assert low < first.value < high


def test_a_probe_that_diverges_is_an_error():
    diverging = Probe(representation("random", evaluation_data()), True, 2, 1, learning_rate=1e38)
    with pytest.raises(RunError, match="lower --probe_learning_rate"):
        list(diverging.run())


def test_the_last_epoch_is_measured_not_the_best(monkeypatch):
    """One that knew all, and forgets it in its last epoch, scores what it then knows: nothing."""
    train_epoch = probe_training._Probes.train_epoch

    def forget(self, orders, epoch):
        train_epoch(self, orders, epoch)
        if epoch == 19:
            for weight in self._weights.values():
                weight.assign(0 * weight)

    data = evaluation_data()
    probe = MAKERS["linear_probe"](representation("ideal", data))
    monkeypatch.setattr(probe_training._Probes, "train_epoch", forget)
    of_first_class = np.mean(data.test.labels == 0)
    assert next(iter(probe.run())).value == pytest.approx(of_first_class)


def test_the_confusion_matrix_counts_the_answers(monkeypatch):
    data = evaluation_data()
    probe = MAKERS["linear_probe"](representation("ideal", data))
    monkeypatch.setattr(Probe, "predict", lambda *_: np.eye(NUM_CLASSES)[[data.test.labels]])
    list(probe.run())
    (matrix,) = probe.figures()
    np.testing.assert_array_equal(matrix.counts, np.diag(np.bincount(data.test.labels)))
    assert matrix.title == "linear probe on the global feature"


@pytest.mark.parametrize(
    ("settings", "ignored"),
    [
        ({"probe": "fast", "probe_epochs": 3}, ["probe_epochs"]),
        (
            {"dataset": "folder", "data_dir": "x", "probe_learning_rate": 0.1},
            ["probe_learning_rate"],
        ),
        ({"probe": "fast"}, []),
        ({"probe_epochs": 3}, []),
    ],
)
def test_settings_that_the_fast_recipe_ignores_are_named(settings, ignored):
    assert probes.ignored_settings(Experiment.of(name="a", **settings)) == ignored
