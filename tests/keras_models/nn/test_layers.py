import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models.nn import kernels, layers


def test_dense_stack_has_relu_everywhere_but_at_the_end():
    stack = layers.DenseStack((7, 5), 3)
    x = np.random.default_rng(0).normal(size=(4, 6, 9)).astype(np.float32)
    result = stack(x)
    wanted = x
    for layer in stack.layers[:-1]:
        wanted = np.maximum(wanted @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    last = stack.layers[-1]
    wanted = wanted @ last.kernel.numpy() + last.bias.numpy()
    assert wanted.min() < 0
    np.testing.assert_allclose(result, wanted, atol=1e-5)
    again = layers.DenseStack.from_config(stack.get_config())
    again.build((None, 9))
    assert [w.shape for w in again.weights] == [w.shape for w in stack.weights]


def convolve(images, kernel, bias, stride, pad):
    """Cross-correlation after zero padding of `pad` on all sides, in loops."""
    n, height, width, _ = images.shape
    size, _, _, filters = kernel.shape
    padded = np.zeros((n, height + 2 * pad, width + 2 * pad, images.shape[-1]))
    padded[:, pad : pad + height, pad : pad + width] = images
    rows = (height + 2 * pad - size) // stride + 1
    columns = (width + 2 * pad - size) // stride + 1
    out = np.zeros((n, rows, columns, filters))
    for i in range(rows):
        for j in range(columns):
            patch = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = np.tensordot(patch, kernel, 3) + bias
    return out


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in"),
    [
        (layers.Dense(400), (None, 25), 25),
        (layers.Dense(400), (None, 4, 4, 25), 25),
        (layers.Conv2D(400, 3, 2, 1), (None, 8, 8, 4), 36),
    ],
    ids=["dense", "dense_on_map", "conv"],
)
def test_kernel_and_bias_are_uniform_within_one_over_root_fan_in(layer, shape, fan_in):
    keras.utils.set_random_seed(0)
    layer.build(shape)
    limit = fan_in**-0.5
    for weight in (layer.kernel, layer.bias):
        values = weight.numpy().ravel()
        assert np.abs(values).max() <= limit
        assert values.min() < -0.9 * limit
        assert values.max() > 0.9 * limit
        # A uniform distribution's quartiles, to five standard errors of the smaller sample.
        np.testing.assert_allclose(
            np.quantile(values, [0.25, 0.5, 0.75]) / limit, [-0.5, 0, 0.5], atol=0.25
        )
        np.testing.assert_allclose(values.std(), limit / 3**0.5, rtol=0.1)


def test_dense_keeps_a_given_kernel_initializer():
    dense = layers.Dense(3, kernel_initializer="ones", use_bias=False)
    dense.build((None, 2))
    np.testing.assert_array_equal(dense.kernel.numpy(), np.ones((2, 3)))
    assert dense.bias is None


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"), [(8, 5, 2, 2), (8, 4, 2, 1), (7, 3, 1, 0), (6, 3, 2, 1)]
)
def test_convolution_equals_loops(size, kernel, stride, pad):
    images = np.random.default_rng(0).normal(size=(2, size, size, 3))
    conv = layers.Conv2D(4, kernel, stride, pad)
    conv.build((None, size, size, 3))
    expected = convolve(images, conv.kernel.numpy(), conv.bias.numpy(), stride, pad)
    out = conv(tf.constant(images, tf.float32))
    np.testing.assert_allclose(out, expected, atol=1e-5)
    assert conv.compute_output_shape((None, size, size, 3)) == (None, *expected.shape[1:])


def test_convolution_of_odd_kernel_with_stride_2_is_not_keras_same():
    images = tf.random.stateless_normal([1, 8, 8, 1], [0, 0])
    ours = layers.Conv2D(1, 5, 2, 2)
    same = keras.layers.Conv2D(1, 5, 2, padding="same")
    same.build(images.shape)
    ours.build(images.shape)
    same.set_weights(ours.get_weights())
    assert np.abs(ours(images) - same(images)).max() > 0.01


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (layers.Dense(3, activation="relu"), tf.ones([2, 5])),
        (layers.Dense(3, use_bias=False), tf.ones([2, 5])),
        (layers.Conv2D(3, 5, 2, 2, use_bias=False), tf.ones([2, 8, 8, 1])),
    ],
    ids=["dense", "dense_without_bias", "conv"],
)
def test_config_round_trip(layer, inputs):
    outputs = layer(inputs)
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert again.get_config() == config
    again.build(inputs.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(inputs), outputs)

    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    restored.set_weights(layer.get_weights())
    np.testing.assert_array_equal(restored(inputs), outputs)


def test_norms_have_the_authors_numerics():
    batch_norm = layers.batch_norm(synchronized=True, name="bn")
    assert (batch_norm.epsilon, batch_norm.momentum) == (1e-5, 0.9)
    assert batch_norm.synchronized
    assert not layers.batch_norm(synchronized=False, name="bn").synchronized
    assert layers.layer_norm("ln").epsilon == 1e-5


def test_batch_norm_moves_its_mean_by_a_tenth():
    batch_norm = layers.batch_norm(synchronized=False, name="bn")
    batch_norm(tf.constant([[2.0], [4.0]]), training=True)
    np.testing.assert_allclose(batch_norm.moving_mean, [0.3], rtol=1e-6)


def both_norms(shape, seed=0):
    """Ours and Keras' batch norm with the same random weights."""
    ours = layers.batch_norm(synchronized=False, name="ours")
    keras_norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    rng = np.random.default_rng(seed)
    for norm in (ours, keras_norm):
        norm.build(shape)
    ours.set_weights([w + rng.uniform(0.1, 0.5, w.shape) for w in ours.get_weights()])
    keras_norm.set_weights(ours.get_weights())
    return ours, keras_norm


def outputs_and_gradients(function, x, variables):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        value = tf.reduce_sum(y * tf.random.stateless_normal(y.shape, [3, 4]))
    return y, tape.gradient(value, [x, *variables])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 5), (3, 4, 4, 5)])
def test_batch_norm_equals_keras(shape, training):
    ours, keras_norm = both_norms(shape)
    x = tf.random.stateless_normal(shape, [0, 1], mean=2.0)
    result, expected = (
        outputs_and_gradients(
            lambda x, norm=norm: norm(x, training=training), x, norm.trainable_variables
        )
        for norm in (ours, keras_norm)
    )
    np.testing.assert_allclose(result[0], expected[0], atol=1e-5)
    for gradient, wanted in zip(result[1], expected[1], strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)
    for weight, wanted in zip(ours.get_weights(), keras_norm.get_weights(), strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=1e-5, atol=1e-6)


def test_sum_of_squares_and_its_gradient():
    x = tf.constant([[1.0, -2.0], [3.0, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        squares = kernels.sum_of_squares(x)
        value = tf.reduce_sum(squares * [2.0, -1.0])
    np.testing.assert_allclose(squares, [5.0, 9.25])
    np.testing.assert_allclose(tape.gradient(value, x), [[4.0, -8.0], [-6.0, -1.0]])
