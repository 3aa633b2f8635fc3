import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import optimizers
from keras_models.nn import kernels

RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.5, 0.999, 1e-8
GRADIENTS = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)


def by_the_equations(rates=(RATE, RATE, RATE, RATE), decay=0.0):
    """Weight, first and second moment after the steps (Kingma & Ba 2015, algorithm 1).

    With weight decay as Loshchilov & Hutter (2019), algorithm 2.
    """
    weight, first, second = np.ones((3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    for t, (gradient, rate) in enumerate(zip(GRADIENTS.astype(np.float64), rates, strict=True), 1):
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        corrected = rate * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        weight = (1 - rate * decay) * weight - corrected * first / (np.sqrt(second) + EPSILON)
    return weight, first, second


def assert_by_the_equations(optimizer, weight):
    state = {v.name.split("_")[-1]: np.array(v) for v in optimizer.variables}
    result = (np.array(weight), state["momentum"], state["velocity"])
    for value, expected in zip(result, by_the_equations(), strict=True):
        # 1 - 0.999 has float32's rounding of 0.999, as the bias correction of the same moment.
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weight, by_the_equations()[0], rtol=2e-6)
    assert np.array(optimizer.iterations) == len(GRADIENTS)


def build_adam(weight):
    adam = optimizers.adam(RATE, "adam")
    adam.build([weight])
    return adam


def test_fused_adam_equals_the_equations():
    weight = keras.Variable(np.ones((3, 2)), dtype="float32", name="weight")
    adam = build_adam(weight)
    step = tf.function(lambda gradient: adam.apply([gradient], [weight]))
    for gradient in GRADIENTS:
        step(tf.constant(gradient))
    assert_by_the_equations(adam, weight)


def in_parts(replicas, gradient):
    """A quarter of it for the first of two replicas, the rest for the other."""
    shares = (0.25, 0.75)
    return replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(shares[context.replica_id_in_sync_group] * gradient)
    )


def test_fused_adam_adds_up_the_gradients_of_replicas(two_replicas):
    with two_replicas.scope():
        weight = keras.Variable(np.ones((3, 2)), dtype="float32", name="weight")
        adam = build_adam(weight)
    step = tf.function(lambda g: two_replicas.run(lambda x: adam.apply([x], [weight]), [g]))
    for gradient in GRADIENTS:
        step(in_parts(two_replicas, gradient))
    assert_by_the_equations(adam, weight)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_adam_takes_gradients_of_any_precision(dtype):
    weight = keras.Variable([1.0, 2.0], dtype="float32")
    adam = build_adam(weight)
    adam.apply([tf.constant([1.0, -1.0], dtype)], [weight])
    # The first step of Adam is the learning rate, whatever the gradient.
    np.testing.assert_allclose(weight, [0.9, 2.1], rtol=1e-5)


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(optimizers.adam(RATE, "adam"))
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, kernels.FusedAdam)
    assert (again.beta_1, again.beta_2, again.epsilon) == (BETA_1, BETA_2, EPSILON)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad"):
        kernels.FusedAdam(amsgrad=True)


@pytest.mark.parametrize("warmup", [0, 2])
def test_cosine_equals_the_equation_and_adam_follows_it(warmup):
    """Loshchilov & Hutter 2017, eq. 5, after a linear warm-up; over the four gradients."""
    steps = np.arange(len(GRADIENTS))
    falling = RATE * (1 + np.cos(np.pi * (steps - warmup) / (len(GRADIENTS) - warmup))) / 2
    rates = np.where(steps < warmup, RATE * steps / max(warmup, 1), falling)
    schedule = optimizers.cosine(RATE, len(GRADIENTS), warmup)
    np.testing.assert_allclose([schedule(t) for t in steps], rates, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(schedule(len(GRADIENTS)), 0, atol=1e-8)

    weight = keras.Variable(np.ones((3, 2)), dtype="float32", name="weight")
    adam = optimizers.adam(schedule, "adam")
    adam.build([weight])
    for gradient in GRADIENTS:
        adam.apply([tf.constant(gradient)], [weight])
    np.testing.assert_allclose(weight, by_the_equations(rates)[0], rtol=2e-6)


def test_a_warmup_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="10 steps of warm-up do not fit into 10 steps"):
        optimizers.cosine(RATE, 10, 10)


def decayed_and_spared():
    weight, spared = (keras.Variable(np.ones((3, 2)), dtype="float32") for _ in range(2))
    adam = optimizers.adam(RATE, "adam", weight_decay=0.5)
    adam.exclude_from_weight_decay([spared])
    adam.build([weight, spared])
    return adam, weight, spared


def assert_decayed_and_spared(weight, spared):
    np.testing.assert_allclose(weight, by_the_equations(decay=0.5)[0], rtol=2e-6)
    np.testing.assert_allclose(spared, by_the_equations()[0], rtol=2e-6)


def test_weight_decay_equals_the_equations():
    adam, weight, spared = decayed_and_spared()
    for gradient in GRADIENTS:
        adam.apply([tf.constant(gradient)] * 2, [weight, spared])
    assert_decayed_and_spared(weight, spared)


def test_weight_decay_on_replicas(two_replicas):
    with two_replicas.scope():
        adam, weight, spared = decayed_and_spared()
    variables = [weight, spared]
    step = tf.function(lambda g: two_replicas.run(lambda x: adam.apply([x, x], variables), [g]))
    for gradient in GRADIENTS:
        step(in_parts(two_replicas, gradient))
    assert_decayed_and_spared(weight, spared)
