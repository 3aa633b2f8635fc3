"""SimCLR and VICReg, from their equations."""

import numpy as np
import small_baseline as small
import tensorflow as tf

from keras_models.baselines.simclr import nt_xent
from keras_models.baselines.vicreg import covariance_matrix, off_diagonal, variance_hinge

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(size=(2, 6, 4)).astype(np.float32)


def test_nt_xent_is_the_equation():
    """Loops over the pairs, as equation 1 is written."""
    z = np.concatenate([FIRST, SECOND]).astype(np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses, hits = [], []
    for i in range(12):
        j = (i + 6) % 12
        similar = {k: z[i] @ z[k] / 0.3 for k in range(12) if k != i}
        losses.append(-np.log(np.exp(similar[j]) / sum(np.exp(s) for s in similar.values())))
        hits.append(max(similar, key=similar.get) == j)
    loss, metrics = nt_xent(tf.constant(FIRST), tf.constant(SECOND), 0.3)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(metrics["contrastive_accuracy"], np.mean(hits))


def test_nt_xent_of_views_that_are_the_same_is_the_least_at_low_temperature():
    same = tf.constant(FIRST)
    loss, metrics = nt_xent(same, same, 0.01)
    assert float(loss) < 1e-3
    assert float(metrics["contrastive_accuracy"]) == 1.0


def test_gradient_of_nt_xent_is_finite_for_equal_features():
    x = tf.ones([4, 3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss, _ = nt_xent(x, x, 0.1)
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-5)
    assert np.isfinite(tape.gradient(loss, x)).all()


def test_terms_of_vicreg_are_the_equations():
    covariance = covariance_matrix(tf.constant(FIRST))
    expected = np.cov(FIRST.T)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4, atol=1e-5)
    off = expected - np.diag(np.diag(expected))
    np.testing.assert_allclose(off_diagonal(covariance), np.sum(off**2) / 4, rtol=1e-4)
    hinge = np.maximum(0, 1 - np.sqrt(np.var(FIRST, axis=0, ddof=1) + 1e-4)).mean()
    np.testing.assert_allclose(variance_hinge(covariance), hinge, rtol=1e-4)

    loss, metrics = small.made(small.vicreg).compare(tf.constant(FIRST), tf.constant(SECOND))
    np.testing.assert_allclose(metrics["invariance"], np.mean((FIRST - SECOND) ** 2), rtol=1e-5)
    weights = {"invariance": 25, "variance_hinge": 25, "covariance": 1}
    expected = sum(weight * metrics[name] for name, weight in weights.items())
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_vicreg_of_a_collapsed_feature_is_its_hinge():
    model = small.made(small.vicreg)
    constant = tf.ones([6, 4])
    _, metrics = model.compare(constant, constant)
    np.testing.assert_allclose(metrics["variance_hinge"], 1 - 0.01, rtol=1e-5)
    assert metrics["invariance"] == metrics["covariance"] == 0


def test_the_encoder_sees_two_other_views_of_each_image():
    model = small.made(small.simclr)
    seen = []
    call = model.encoder.call
    model.encoder.call = lambda x, **more: seen.append(x.numpy()) or call(x, **more)
    model.train_step(small.BATCH)
    first, second = seen
    assert first.shape == second.shape == small.IMAGES.shape
    for a, b in ((first, second), (first, small.IMAGES), (second, small.IMAGES)):
        assert (np.abs(a - b).max(axis=(1, 2, 3)) > 0.1).all()
