"""Moments of features."""

import numpy as np

from dim_tf.evaluation.standardisation import moments


def test_moments_of_many_rows(monkeypatch):
    monkeypatch.setattr("dim_tf.evaluation.standardisation.CHUNK_SIZE", 7)
    features = np.random.default_rng(0).normal(3.0, 0.1, (50, 4)).astype(np.float32)
    features[:, 2] = 0.1  # constant: would be divided by its rounding
    mean, variance = moments(features)
    np.testing.assert_allclose(mean, features.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance[[0, 1, 3]], features.var(0)[[0, 1, 3]], rtol=1e-5)
    assert variance[2] == np.inf
