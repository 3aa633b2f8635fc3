"""The two projections of the dot-product critic have the same layers."""

import numpy as np
import pytest
import tensorflow as tf

from keras_models.critics import (
    FastProjection,
    NoisyIdentity,
    Projection,
)

BOTH = pytest.mark.parametrize("projection_class", [Projection, FastProjection])


def random_features(shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 0])


@pytest.mark.parametrize(("inputs", "units"), [(4, 4), (4, 9)])
def test_noisy_identity(inputs, units):
    kernel = NoisyIdentity()((inputs, units)).numpy()
    diagonal = np.eye(inputs, units) == 1
    np.testing.assert_array_equal(kernel[diagonal], 1)
    noise = kernel[~diagonal]
    assert np.abs(noise).max() <= 0.01
    assert noise.std() > 0.003  # a uniform distribution's is 0.0058


@BOTH
def test_projection_starts_from_a_noisy_identity_where_no_input_is_dropped(projection_class):
    projection = projection_class(8)
    projection.build((None, 2, 2, 6))
    np.testing.assert_array_equal(np.diag(projection.shortcut.kernel), 1)
    # The other layers, and a shortcut to fewer units, start as every dense layer.
    smaller = projection_class(6)
    smaller.build((None, 2, 2, 8))
    for kernel in (smaller.shortcut.kernel, smaller.hidden.kernel, projection.hidden.kernel):
        limit = kernel.shape[0] ** -0.5
        assert 0.5 * limit < np.abs(kernel).max() <= limit
        assert (np.diag(kernel) != 1).all()


@BOTH
def test_projection_parameters(projection_class):
    projection = projection_class(2048)
    projection.build((None, 8, 8, 128))
    assert sum(v.numpy().size for v in projection.trainable_variables) == 4_728_832
    assert projection.hidden.bias is None
    assert projection.shortcut.bias is None
    assert projection.out.bias is not None


@BOTH
@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 2, 4)])
def test_projection_equals_the_equations_in_training(projection_class, shape):
    projection = projection_class(6)
    projection.build((None, *shape[1:]))
    rng = np.random.default_rng(0)
    projection.set_weights([w + rng.uniform(0.1, 0.5, w.shape) for w in projection.get_weights()])
    features = rng.normal(size=shape)
    # As the variables are, before the moving averages change.
    batch_norm, layer_norm = projection.hidden_norm, projection.norm
    before = batch_norm.moving_mean.numpy()

    hidden = features @ projection.hidden.kernel.numpy()
    axes = tuple(range(hidden.ndim - 1))
    mean, variance = hidden.mean(axes), hidden.var(axes)
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5)
    hidden = np.maximum(hidden * batch_norm.gamma.numpy() + batch_norm.beta.numpy(), 0)
    out = hidden @ projection.out.kernel.numpy() + projection.out.bias.numpy()
    out = out + features @ projection.shortcut.kernel.numpy()
    centred = out - out.mean(-1, keepdims=True)
    expected = centred / np.sqrt(out.var(-1, keepdims=True) + 1e-5)
    expected = expected * layer_norm.gamma.numpy() + layer_norm.beta.numpy()

    np.testing.assert_allclose(
        projection(tf.constant(features, tf.float32), training=True), expected, atol=1e-4
    )
    np.testing.assert_allclose(batch_norm.moving_mean, 0.9 * before + 0.1 * mean, atol=1e-5)


@BOTH
def test_projection_norms(projection_class):
    projection = projection_class(6, synchronized=True)
    projection.build((None, 4))
    assert (projection.hidden_norm.epsilon, projection.hidden_norm.momentum) == (1e-5, 0.9)
    assert projection.hidden_norm.synchronized
    assert projection.norm.epsilon == 1e-5
    assert not projection_class(6).hidden_norm.synchronized


@BOTH
def test_projection_treats_a_map_as_its_locations(projection_class):
    """A 1x1 convolution: equal to the dense layers at each location."""
    projection, of_vectors = projection_class(6), projection_class(6)
    projection.build((None, 2, 2, 4))
    of_vectors.build((None, 4))
    of_vectors.set_weights(projection.get_weights())
    features = random_features((5, 2, 2, 4))
    np.testing.assert_allclose(
        tf.reshape(projection(features, training=True), [20, 6]),
        of_vectors(tf.reshape(features, [20, 4]), training=True),
        atol=1e-5,
    )
    assert projection.compute_output_shape((None, 2, 2, 4)) == (None, 2, 2, 6)


@BOTH
def test_projection_config_round_trip(projection_class):
    projection = projection_class(6, synchronized=True, name="side")
    config = projection.get_config()
    assert projection_class.from_config(config).get_config() == config
