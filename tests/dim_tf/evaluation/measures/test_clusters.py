"""Clusters: how well they match classes, and their assignment to classes."""

from itertools import permutations

import numpy as np
import pytest
from sample_representations import evaluation_data, measured, representation
from sklearn.cluster import KMeans

from dim_tf.evaluation.measures.clusters import Clusters, assign_classes


@pytest.mark.parametrize("kind", ["ideal", "duplicated"])
def test_classes_are_found(kind):
    results = measured(kind, Clusters)
    assert results["cluster_accuracy"].value == 1.0
    assert results["cluster_nmi"].value == pytest.approx(1.0)


def test_what_tells_nothing():
    noise = measured("random", Clusters)
    assert noise["cluster_accuracy"].value < 0.4
    assert noise["cluster_nmi"].value < 0.1
    labels = evaluation_data().test.labels
    constant = measured("constant", Clusters)
    # One cluster: it is taken for the class most frequent in training.
    assert constant["cluster_accuracy"].value == np.mean(
        labels == np.bincount(evaluation_data().train.labels).argmax()
    )
    assert constant["cluster_nmi"].value == 0.0


def test_of_many_images_some_are_drawn_by_each_seed(monkeypatch):
    plain = measured("random", Clusters)["cluster_nmi"].value
    monkeypatch.setattr("dim_tf.evaluation.measures.clusters.MAX_IMAGES", 60)
    seen = []
    fit = KMeans.fit_predict

    def spy(self, features):
        seen.append(features)
        return fit(self, features)

    monkeypatch.setattr(KMeans, "fit_predict", spy)
    results = measured("ideal", Clusters)
    assert results["cluster_accuracy"].value == 1.0
    assert [len(features) for features in seen] == [60] * 3
    assert not np.array_equal(seen[0], seen[1])
    assert measured("random", Clusters)["cluster_nmi"].value != plain
    protocol = Clusters(representation("ideal", evaluation_data())).protocol["cluster_accuracy"]
    assert "of 60 training images drawn by each seed, best of" in protocol


def test_to_double_the_features_changes_nothing():
    data = evaluation_data()
    plain, twice = representation("random", data), representation("random", data)
    for features in (twice.train, twice.test):
        features["global"] = np.concatenate([features["global"]] * 2, axis=1)
    values = [[result.value for result in Clusters(r).run()] for r in (plain, twice)]
    assert values[0] == pytest.approx(values[1], abs=0.02)


def test_the_assignment_is_the_best_of_all():
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 4, (2, 50))
    class_of = assign_classes(clusters, labels, 4)
    assert sorted(class_of) == [0, 1, 2, 3]
    best = max(np.sum(np.array(p)[clusters] == labels) for p in permutations(range(4)))
    assert np.sum(class_of[clusters] == labels) == best


def test_seeds_are_averaged_and_repeatable():
    first, again = (measured("random", Clusters)["cluster_accuracy"] for _ in range(2))
    assert first == again
    assert first.uncertainty.n == 3
    assert first.uncertainty.std > 0


def test_a_models_own_clusters_are_measured_beside():
    features = representation("random", evaluation_data())
    kmeans = KMeans(7, random_state=0, n_init=1).fit(features.train["global"])
    results = {
        (result.metric, result.endpoint): result.value
        for result in Clusters(features, assign=kmeans.predict).run()
    }
    data = features.data
    train, test = (kmeans.predict(x["global"]) for x in (features.train, features.test))
    classes = len(data.label_names)
    best = max(
        permutations(range(7), classes),
        key=lambda order: sum(
            np.sum((train == cluster) & (data.train.labels == k)) for k, cluster in enumerate(order)
        ),
    )
    expected = np.mean(np.array(best)[data.test.labels] == test)
    assert results["assigned_accuracy", "global"] == pytest.approx(expected)
    assert 0 < results["assigned_nmi", "global"] <= 1
    assert expected < 1  # there are more clusters than classes
    plain = Clusters(features)
    assert set(plain.metrics) == set(plain.protocol) == {"cluster_accuracy", "cluster_nmi"}
    own = Clusters(features, assign=kmeans.predict)
    assert set(own.metrics) == set(own.protocol)
    assert {name for name, _ in results} == set(own.metrics)


def test_a_cluster_that_no_training_image_is_in_has_no_class():
    features = representation("ideal", evaluation_data())
    labels = features.data.train.labels

    def assign(rows):
        return labels if len(rows) == len(labels) else np.full(len(rows), 9)

    assert len(features.test["global"]) != len(labels)
    results = {r.metric: r.value for r in Clusters(features, assign=assign).run()}
    assert results["assigned_accuracy"] == 0
