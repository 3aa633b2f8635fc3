"""The checks that every encoder, critic, term and model must pass."""

import keras
import numpy as np
import tensorflow as tf


def in_bfloat16(make):
    """What `make` returns under the policy mixed_bfloat16."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        return make()
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def assert_close(actual, expected, rtol=1e-4, atol=1e-4):
    """Compares two nests of tensors; the error names the part that differs."""
    tf.nest.assert_same_structure(actual, expected)
    pairs = zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True)
    for i, (x, y) in enumerate(pairs):
        x, y = (np.asarray(tf.cast(z, tf.float32)) for z in (x, y))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=f"part {i}")


def with_random_weights(layer, seed=0):
    """Adds noise to all weights, so that no part is the identity or zero; returns the layer."""
    rng = np.random.default_rng(seed)
    layer.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


def check(make, call, *inputs, bfloat16=0.1, xla=True):
    """Eager equals graph or XLA, float32 is near bfloat16, `get_config` and weights restore it.

    Args:
        make: () -> a built layer or model, always of the same architecture.
        call: (layer, *inputs) -> nest of tensors; must depend on nothing else.
        *inputs: tensors.
        bfloat16: absolute tolerance of bfloat16; None: not checked.
        xla: whether XLA compiles the graph (takes seconds); else TensorFlow runs it.
    """
    layer = with_random_weights(make())
    weights = layer.get_weights()

    def outputs(of):
        of.set_weights(weights)  # batch norm moves its averages in training
        return call(of, *inputs)

    expected = outputs(layer)
    layer.set_weights(weights)
    compiled = tf.function(lambda *x: call(layer, *x), jit_compile=xla)
    assert_close(compiled(*inputs), expected)

    config = layer.get_config()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is type(layer)
    assert copy.get_config() == config
    assert_close(outputs(copy), expected, rtol=1e-6, atol=1e-6)

    if bfloat16 is not None:
        half = in_bfloat16(make)
        half.set_weights(weights)
        assert_close(call(half, *inputs), expected, rtol=bfloat16, atol=bfloat16)
