import numpy as np
import tensorflow as tf

from keras_models.terms import VICReg
from keras_models.terms.vicreg import covariance_matrix, off_diagonal, variance_hinge

FIRST, SECOND = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)


def test_its_parts_are_the_equations():
    covariance = covariance_matrix(tf.constant(FIRST))
    expected = np.cov(FIRST.T)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4, atol=1e-5)
    off = expected - np.diag(np.diag(expected))
    np.testing.assert_allclose(off_diagonal(covariance), np.sum(off**2) / 4, rtol=1e-4)
    hinge = np.maximum(0, 1 - np.sqrt(np.var(FIRST, axis=0, ddof=1) + 1e-4)).mean()
    np.testing.assert_allclose(variance_hinge(covariance), hinge, rtol=1e-4)


def test_the_loss_is_the_weighted_sum_of_both_views():
    weights = {"invariance": 2.0, "variance": 3.0, "covariance": 0.7}
    loss, metrics = VICReg((8,), 4, **weights).compare(tf.constant(FIRST), tf.constant(SECOND))
    np.testing.assert_allclose(metrics["invariance"], np.mean((FIRST - SECOND) ** 2), rtol=1e-5)
    covariances = [covariance_matrix(tf.constant(x)) for x in (FIRST, SECOND)]
    hinges, squares = np.mean([variance_hinge(c) for c in covariances]), 0.0
    squares = np.sum([off_diagonal(c) for c in covariances])
    np.testing.assert_allclose(metrics["variance_hinge"], hinges, rtol=1e-5)
    np.testing.assert_allclose(metrics["covariance"], squares, rtol=1e-5)
    expected = 2 * metrics["invariance"] + 3 * hinges + 0.7 * squares
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_collapsed_feature_costs_its_hinge():
    constant = tf.ones([6, 4])
    _, metrics = VICReg((8,), 4).compare(constant, constant)
    np.testing.assert_allclose(metrics["variance_hinge"], 1 - 0.01, rtol=1e-5)
    assert metrics["invariance"] == metrics["covariance"] == 0
