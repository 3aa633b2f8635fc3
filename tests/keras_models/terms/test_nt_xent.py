import numpy as np
import tensorflow as tf

from keras_models.terms.nt_xent import nt_xent

FIRST, SECOND = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)


def test_it_is_the_equation():
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
    np.testing.assert_allclose(metrics["accuracy"], np.mean(hits))


def test_equal_views_have_the_least_loss_at_low_temperature():
    same = tf.constant(FIRST)
    loss, metrics = nt_xent(same, same, 0.01)
    assert float(loss) < 1e-3
    assert float(metrics["accuracy"]) == 1.0


def test_the_gradient_is_finite_for_equal_features():
    x = tf.ones([4, 3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss, _ = nt_xent(x, x, 0.1)
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-5)
    assert np.isfinite(tape.gradient(loss, x)).all()
