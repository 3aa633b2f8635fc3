import numpy as np
import tensorflow as tf

from keras_models.terms import BarlowTwins
from keras_models.terms.barlow_twins import cross_correlation

FIRST, SECOND = np.random.default_rng(0).normal(size=(2, 7, 4)).astype(np.float32)


def test_it_is_the_equation():
    """Equations 1 and 2, number by number."""
    correlation = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            correlation[i, j] = np.corrcoef(FIRST[:, i], SECOND[:, j])[0, 1]
    np.testing.assert_allclose(
        cross_correlation(tf.constant(FIRST), tf.constant(SECOND)), correlation, atol=1e-4
    )
    invariance = sum((1 - correlation[i, i]) ** 2 for i in range(4))
    redundancy = sum(correlation[i, j] ** 2 for i in range(4) for j in range(4) if i != j)
    term = BarlowTwins((8,), 4, redundancy=0.3)
    loss, metrics = term.compare(tf.constant(FIRST), tf.constant(SECOND))
    np.testing.assert_allclose(metrics["invariance"], invariance, rtol=1e-4)
    np.testing.assert_allclose(metrics["redundancy"], redundancy, rtol=1e-4)
    np.testing.assert_allclose(loss, invariance + 0.3 * redundancy, rtol=1e-4)


def test_independent_numbers_of_equal_views_cost_nothing():
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)
    loss, _ = BarlowTwins((8,), 2).compare(tf.constant(signs), tf.constant(signs))
    np.testing.assert_allclose(loss, 0, atol=1e-6)


def test_a_collapsed_feature_costs_one_for_each_number_and_has_a_finite_gradient():
    x = tf.ones([6, 4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss, _ = BarlowTwins((8,), 4).compare(x, x)
    np.testing.assert_allclose(loss, 4)
    assert np.isfinite(tape.gradient(loss, x)).all()
