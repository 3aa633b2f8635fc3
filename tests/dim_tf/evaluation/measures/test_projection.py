"""Projections: what is in the plane is seen in the plane."""

import numpy as np
import pytest
from sample_representations import evaluation_data, representation
from threadpoolctl import threadpool_limits

from dim_tf.evaluation.measures.projection import (
    PlaneProjections,
    neighbour_embedding,
    principal_components,
    thumbnails,
)

DATA = evaluation_data(test=120)


@pytest.fixture(autouse=True)
def one_thread():
    """t-SNE of few points waits for its threads more than it computes, on a busy machine."""
    with threadpool_limits(1):
        yield


def test_principal_components_of_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [3.0, 1.0]
    axes = np.linalg.qr(rng.normal(size=(5, 2)))[0]
    points = principal_components((plane @ axes.T + 7).astype(np.float32))
    centred = plane - plane.mean(0)

    def distances(x):
        return np.linalg.norm(x[:, np.newaxis] - x, axis=-1)

    np.testing.assert_allclose(distances(points), distances(centred), atol=1e-4)
    assert points[:, 0].std() > points[:, 1].std()
    assert principal_components(np.ones((4, 1), np.float32)).tolist() == [[0, 0]] * 4


def test_classes_that_are_apart_are_apart_in_both_figures():
    measure = PlaneProjections(representation("ideal", DATA), max_images=100)
    assert {r.metric for r in measure.run()} == set(measure.metrics) == set(measure.protocol)
    pca, tsne = measure.figures()
    for figure in (pca, tsne):
        assert figure.points.shape == (100, 2)
        np.testing.assert_array_equal(figure.labels, DATA.test.labels[:100])
        assert figure.images.shape == (100, 4, 4, 1)
        distance = np.linalg.norm(figure.points[:, np.newaxis] - figure.points, axis=-1)
        same = figure.labels[:, np.newaxis] == figure.labels
        assert distance[same].mean() < 0.5 * distance[~same].mean()


def test_trust():
    """A plane's figure can be trusted, that of many dimensions less; copies change nothing."""
    rng = np.random.default_rng(0)

    def trust(features):
        r = representation("random", DATA)
        r.test["global"] = features.astype(np.float32)
        return {result.metric: result.value for result in PlaneProjections(r).run()}

    plane, noise = rng.normal(size=(120, 2)), rng.normal(size=(120, 30))
    flat = trust(plane)
    assert flat["pca_trustworthiness"] == pytest.approx(1.0, abs=1e-6)
    assert flat["tsne_trustworthiness"] > 0.95
    many = trust(noise)
    assert many["pca_trustworthiness"] < 0.8
    twice = trust(np.concatenate([noise, noise], axis=1))
    assert twice["pca_trustworthiness"] == pytest.approx(many["pca_trustworthiness"], abs=1e-3)


def test_constant_features_give_finite_figures():
    measure = PlaneProjections(representation("constant", DATA))
    assert all(np.isfinite(result.value) for result in measure.run())
    assert all(np.isfinite(figure.points).all() for figure in measure.figures())


def test_attributes_have_no_classes():
    data = evaluation_data(test=40, multi_label=True)
    measure = PlaneProjections(representation("ideal", data))
    list(measure.run())
    assert all(p.labels is None and p.label_names == () for p in measure.figures())


def test_t_sne_repeats():
    features = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    start = principal_components(features)
    first, again = (neighbour_embedding(features, start, 5.0, 0) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_thumbnails():
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 48, 3), np.uint8)
    assert thumbnails(images).shape == (3, 32, 24, 3)
    assert thumbnails(images).dtype == np.uint8
    assert thumbnails(images[:, :32, :32]).shape == (3, 32, 32, 3)
    assert thumbnails(np.full((1, 64, 64, 1), 9, np.uint8)).max() == 9
