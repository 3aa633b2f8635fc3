"""Probes, neighbours, SVM: an ideal representation scores high, a constant one low."""

import keras
import numpy as np
import pytest
from made_representations import CLASSES, measured, representation, splits

from dim_tf.evaluation import few_labels, neighbours
from dim_tf.evaluation.excerpt import Excerpt, Part
from dim_tf.evaluation.few_labels import FewLabels
from dim_tf.evaluation.neighbours import NearestNeighbours, cosine_neighbours, panels
from dim_tf.evaluation.probes import Probe, moments
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.svm import SupportVectorMachine
from dim_tf.system.errors import RunError

MAKERS = {
    "linear_probe": lambda r: Probe(r, hidden=False, epochs=20, seeds=1, learning_rate=5e-2),
    "mlp_probe": lambda r: Probe(r, hidden=True, epochs=15, seeds=1, learning_rate=3e-3),
    "knn": NearestNeighbours,
    "svm": SupportVectorMachine,
    "linear_probe_10_percent": lambda r: FewLabels(r, 15, 1, 5e-2, percent=(10,)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_ideal_and_random(name):
    assert measured("ideal", MAKERS[name])[name].value == 1.0
    assert measured("random", MAKERS[name])[name].value < 0.45


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


def test_svm_runs_differ_in_the_images_drawn(monkeypatch):
    """Where all images are taken there is one solution, so one run."""
    monkeypatch.setattr("dim_tf.evaluation.svm.CONV_IMAGES", 100)
    data = splits()
    ideal = representation("ideal", data)
    noise = np.random.default_rng(2).normal(0, 0.7, (2, 256, CLASSES)).astype(np.float32)

    def noisy(found, noise):
        features = found["global"] + noise[: len(found["global"])]
        return {"conv": features, "global": features}

    r = Representation(noisy(ideal.train, noise[0]), noisy(ideal.test, noise[1]), data)
    machine = SupportVectorMachine(r, runs=3)
    found = {result.endpoint: result for result in machine.run()}
    assert found["conv"].uncertainty.n == 3
    assert found["conv"].uncertainty.std > 0
    assert found["global"].uncertainty.n == 1
    assert ", mean of 3 drawings; global: " in machine.protocol["svm"]
    assert f"global: {len(data.train)} images, all converged" in machine.protocol["svm"]


def test_attributes_by_neighbours():
    assert measured("ideal", NearestNeighbours, multi_label=True)["knn_auc"].value == 1.0


def test_the_scale_of_features_does_not_change_a_linear_probe():
    """Else random weights, whose features are small, would look worse than they are."""
    data = splits()
    ideal = representation("ideal", data)
    noise = np.random.default_rng(2).normal(0, 0.5, (2, 256, CLASSES)).astype(np.float32)

    def probed(scale, shift):
        def features(found, noise):
            return {"global": (found["global"] + noise[: len(found["global"])]) * scale + shift}

        r = Representation(features(ideal.train, noise[0]), features(ideal.test, noise[1]), data)
        return next(iter(Probe(r, hidden=False, epochs=5, seeds=1, learning_rate=2e-2).run())).value

    plain = probed(1.0, 0.0)
    assert 0.45 < plain < 0.9
    assert probed(2.0**-7, 0.0) == plain
    assert probed(2.0**-7, 0.25) == pytest.approx(plain, abs=0.02)


def test_moments_of_many_rows(monkeypatch):
    monkeypatch.setattr("dim_tf.evaluation.probes.MOMENT_ROWS", 7)
    features = np.random.default_rng(0).normal(3.0, 0.1, (50, 4)).astype(np.float32)
    features[:, 2] = 0.1  # constant: would be divided by its rounding
    mean, variance = moments(features)
    np.testing.assert_allclose(mean, features.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance[[0, 1, 3]], features.var(0)[[0, 1, 3]], rtol=1e-5)
    assert variance[2] == np.inf


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
    diverging = Probe(representation("random", splits()), True, 2, 1, learning_rate=1e38)
    with pytest.raises(RunError, match="lower --probe_learning_rate"):
        list(diverging.run())


def test_the_learning_rate_drops_after_two_thirds(monkeypatch):
    rates = []

    class Spy:
        def __init__(self, schedule):
            rates.extend(schedule(epoch) for epoch in range(9))

    monkeypatch.setattr("keras.callbacks.LearningRateScheduler", Spy)
    monkeypatch.setattr("keras.Sequential.fit", lambda *args, **kwargs: None)
    next(iter(Probe(representation("ideal", splits()), False, epochs=9, seeds=1).run()))
    assert rates == pytest.approx([1e-4] * 6 + [1e-5] * 3)


def test_the_last_epoch_is_measured_not_the_best(monkeypatch):
    """One that knew all, and forgets it in its last epoch, scores what it then knows: nothing."""

    class Forget(keras.callbacks.Callback):
        def __init__(self, schedule):
            super().__init__()

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 19:
                self.model.set_weights([0 * w for w in self.model.get_weights()])

    data = splits()
    probe = MAKERS["linear_probe"](representation("ideal", data))
    monkeypatch.setattr("keras.callbacks.LearningRateScheduler", Forget)
    of_first_class = np.mean(data.test.labels == 0)
    assert next(iter(probe.run())).value == pytest.approx(of_first_class)


def test_neighbours_against_a_plain_loop():
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(7, 5)), rng.normal(size=(11, 5))
    similarity, rows = cosine_neighbours(
        queries.astype(np.float32), references.astype(np.float32), 3
    )
    for q, query in enumerate(queries):
        cosines = [query @ r / np.linalg.norm(query) / np.linalg.norm(r) for r in references]
        order = np.argsort(cosines)[::-1][:3]
        assert list(rows[q]) == list(order)
        np.testing.assert_allclose(similarity[q], np.array(cosines)[order], atol=1e-6)


def test_neighbours_in_chunks_are_those_in_one_piece(monkeypatch):
    """Ties too: of equal references the first one is nearest."""
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(7, 5)), rng.normal(size=(11, 5))
    references[8] = references[2]
    arguments = queries.astype(np.float32), references.astype(np.float32), 4
    similarity, rows = cosine_neighbours(*arguments)
    assert ((rows == 2).sum(1) >= (rows == 8).sum(1)).all()
    assert (rows == 8).any()
    monkeypatch.setattr(neighbours, "QUERIES", 2)
    monkeypatch.setattr(neighbours, "REFERENCES", 3)
    in_chunks = cosine_neighbours(*arguments)
    np.testing.assert_allclose(in_chunks[0], similarity, atol=1e-6)
    np.testing.assert_array_equal(in_chunks[1], rows)


def test_votes_are_weighted_by_similarity():
    """One near neighbour outvotes two far ones."""
    near, far = [1.0, 0.0], [0.0, 1.0]
    train = Part(np.zeros((3, 1, 1, 1), np.uint8), np.array([0, 1, 1]))
    test = Part(np.zeros((1, 1, 1, 1), np.uint8), np.array([0]))
    data = Excerpt(train, test, ("a", "b"), "made")
    features = {"global": np.array([near, far, far], np.float32)}
    r = Representation(features, {"global": np.array([near], np.float32)}, data)
    assert next(NearestNeighbours(r, k=3).run()).value == 1.0


def test_panels_show_the_nearest_images():
    data = splits()
    r = representation("ideal", data)
    for panel in panels(r, queries=5, k=3):
        assert panel.neighbours.shape == (5, 3, 4, 4, 1)
        assert panel.same_label.all()
        np.testing.assert_array_equal(panel.queries, data.test.images[:5])


def test_the_svm_tells_what_did_not_converge(monkeypatch):
    monkeypatch.setattr("dim_tf.evaluation.svm.CONV_IMAGES", 100)
    noise = representation("random", splits())
    r = Representation(
        {"conv": noise.train["global"]}, {"conv": noise.test["global"]}, noise.splits
    )
    cut_short, whole = SupportVectorMachine(r, 3, 1), SupportVectorMachine(r, 3)
    (result,) = cut_short.run()
    assert result.uncertainty.n == 3
    assert result.uncertainty.std > 0  # each seed draws other images
    assert "conv: 100 images, 3 of 3 not converged in 1 iterations" in cut_short.protocol["svm"]
    list(whole.run())
    assert "conv: 100 images, all converged, in " in whole.protocol["svm"]
    list(cut_short.run())
    assert "3 of 3 not converged" in cut_short.protocol["svm"]


def test_few_labels_are_drawn_class_by_class():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    rows = few_labels.labelled(labels, 10, seed=0)
    assert list(np.bincount(labels[rows])) == [10, 4, 1]
    assert len(set(rows)) == 15
    assert set(rows) != set(few_labels.labelled(labels, 10, seed=1))


def test_few_labels_see_only_those(monkeypatch):
    seen = []

    def predict(self, features, labels, test_features, seed):
        seen.append((features, labels))
        return np.zeros((len(test_features), CLASSES))

    monkeypatch.setattr(Probe, "predict", predict)
    r = representation("random", splits())
    list(FewLabels(r, epochs=1, seeds=1).run())
    for (features, labels), count in zip(seen, (4, 26), strict=True):
        assert len(features) == len(labels) == 256
        assert len(np.unique(features, axis=0)) == pytest.approx(count, abs=2)


def test_the_confusion_matrix_counts_the_answers(monkeypatch):
    data = splits()
    probe = MAKERS["linear_probe"](representation("ideal", data))
    monkeypatch.setattr(Probe, "predict", lambda *_: np.eye(CLASSES)[data.test.labels])
    list(probe.run())
    (matrix,) = probe.pictures()
    np.testing.assert_array_equal(matrix.counts, np.diag(np.bincount(data.test.labels)))
    assert matrix.title == "linear probe on the global feature"
