"""Principal components by the smaller of two matrices, and features of many numbers."""

import tracemalloc

import numpy as np
import pytest

from dim_tf.collection.curation import robust_distance
from dim_tf.collection.curation.robust_distance import robust_distances


@pytest.mark.parametrize("shape", [(40, 7), (8, 7), (7, 7), (7, 40), (200, 150)])
def test_the_components_are_those_of_the_covariance(shape):
    rows = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    centered = rows - rows.mean(axis=0)
    variances, vectors = robust_distance._principal_components(centered)
    expected, directions = np.linalg.eigh(np.cov(centered.T))
    rank = min(shape[0] - 1, shape[1], robust_distance.MAX_DIMENSIONS)
    assert len(variances) <= robust_distance.MAX_DIMENSIONS
    np.testing.assert_allclose(variances[-rank:], expected[-rank:], rtol=1e-8)
    alike = np.abs(np.sum(vectors[:, -rank:] * directions[:, -rank:], axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-6)


def test_features_of_many_numbers_need_no_matrix_of_their_square():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 3)).astype(np.float32) @ rng.normal(size=(3, 8192))
    features = features.astype(np.float32)
    features[7] += 3 * rng.normal(size=8192).astype(np.float32)
    sampled = np.ones(60, bool)
    sampled[7] = False
    tracemalloc.start()
    distances = robust_distances(features, sampled, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**27  # 8,193 x 8,193 numbers are 2**29 bytes
    assert distances.shape == (60,)
    assert np.isfinite(distances).all()
    assert distances.any()
