"""Gradients of an equation in plain NumPy, and their comparison with TensorFlow's."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

STEP = 1e-5


def gradient(function: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """The gradient of a scalar function at x by central differences, in float64."""
    x = np.array(x, np.float64)
    result = np.empty_like(x)
    for i in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[i] += sign * STEP
            ends.append(function(moved))
        result[i] = (ends[0] - ends[1]) / (2 * STEP)
    return result


def assert_equation(
    ours: Callable, equation: Callable[..., float], *inputs: np.ndarray, rtol=1e-3, atol=1e-5
) -> None:
    """Value and gradients of a scalar TensorFlow function are those of the equation.

    Args:
        ours: float32 tensors -> a scalar tensor.
        equation: float64 arrays -> a scalar.
        *inputs: Of both.
        rtol: Relative tolerance of the gradients.
        atol: Absolute tolerance of the gradients.
    """
    tensors = [tf.constant(x, tf.float32) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = ours(*tensors)
    arrays = [np.array(x, np.float64) for x in inputs]
    np.testing.assert_allclose(value, equation(*arrays), rtol=1e-4)
    for i, actual in enumerate(tape.gradient(value, tensors)):

        def of_one(x, i=i):
            return equation(*arrays[:i], x, *arrays[i + 1 :])

        np.testing.assert_allclose(actual, gradient(of_one, arrays[i]), rtol, atol)
