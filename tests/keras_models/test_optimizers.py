import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import optimizers

RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.5, 0.999, 1e-8
GRADIENTS = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)


def by_the_equations():
    """Weight, first and second moment after the steps (Kingma & Ba 2015, algorithm 1)."""
    weight, first, second = np.ones((3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    for t, gradient in enumerate(GRADIENTS.astype(np.float64), start=1):
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        rate = RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        weight = weight - rate * first / (np.sqrt(second) + EPSILON)
    return weight, first, second


def assert_by_the_equations(optimizer, weight):
    state = {v.name.split("_")[-1]: np.array(v) for v in optimizer.variables}
    found = (np.array(weight), state["momentum"], state["velocity"])
    for value, expected in zip(found, by_the_equations(), strict=True):
        # 1 - 0.999 has float32's rounding of 0.999, as the bias correction of the same moment.
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weight, by_the_equations()[0], rtol=2e-6)
    assert np.array(optimizer.iterations) == len(GRADIENTS)


def made(weight):
    adam = optimizers.adam(RATE, "adam")
    adam.build([weight])
    return adam


def test_fused_adam_equals_the_equations():
    weight = keras.Variable(np.ones((3, 2)), dtype="float32", name="weight")
    adam = made(weight)
    step = tf.function(lambda gradient: adam.apply([gradient], [weight]))
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
    assert_by_the_equations(adam, weight)


def test_fused_adam_adds_up_the_gradients_of_replicas(two_replicas):
    with two_replicas.scope():
        weight = keras.Variable(np.ones((3, 2)), dtype="float32", name="weight")
        adam = made(weight)
    step = tf.function(lambda g: two_replicas.run(lambda x: adam.apply([x], [weight]), [g]))
    for gradient in GRADIENTS:
        parts = [0.25 * gradient, 0.75 * gradient]
        values = two_replicas.experimental_distribute_values_from_function(
            lambda context, parts=parts: tf.constant(parts[context.replica_id_in_sync_group])
        )
        step(values)
    assert_by_the_equations(adam, weight)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_adam_takes_gradients_of_any_precision(dtype):
    weight = keras.Variable([1.0, 2.0], dtype="float32")
    adam = made(weight)
    adam.apply([tf.constant([1.0, -1.0], dtype)], [weight])
    # The first step of Adam is the learning rate, whatever the gradient.
    np.testing.assert_allclose(weight, [0.9, 2.1], rtol=1e-5)


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(optimizers.adam(RATE, "adam"))
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, optimizers.FusedAdam)
    assert (again.beta_1, again.beta_2, again.epsilon) == (BETA_1, BETA_2, EPSILON)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad"):
        optimizers.FusedAdam(amsgrad=True)
