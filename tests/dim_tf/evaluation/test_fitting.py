"""The training of the measures' networks, on one number whose path is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf.evaluation.fitting import MeasureTraining, minimise
from dim_tf.system.errors import RunError


def test_the_running_mean_of_the_weights_is_what_remains():
    """Of a constant gradient Adam moves by its learning rate."""
    weight = keras.Variable(0.0)
    minimise([weight], lambda random: -3.0 * weight.value, MeasureTraining(40, 1, 0.1))
    rates = 0.05 * (1 + np.cos(np.pi * np.arange(40) / 40))
    path = np.cumsum(rates)
    mean = 0.0
    for position in path:
        mean = 0.75 * mean + 0.25 * position
    assert float(weight) == pytest.approx(mean, rel=1e-4)
    assert mean < 0.999 * path[-1]


def test_each_step_has_its_own_numbers():
    weight = keras.Variable(0.0)
    drawn = []

    def loss(random):
        tf.py_function(lambda x: drawn.append(float(x[0])), [random.uniform("x", 1, ())], [])
        return weight.value**2

    minimise([weight], loss, MeasureTraining(4, 1, 0.1, seed=1))
    first, drawn = drawn, []
    minimise([weight], loss, MeasureTraining(4, 1, 0.1, seed=1))
    assert first == drawn
    assert len(set(first)) == 4
    drawn = []
    minimise([weight], loss, MeasureTraining(4, 1, 0.1, seed=2))
    assert set(first).isdisjoint(drawn)


def test_weights_are_a_function_of_the_seed():
    def random_weights(seed, purpose="a"):
        MeasureTraining(1, 1, 0.1, seed).seed_weights(purpose)
        return keras.initializers.RandomUniform()((3,)).numpy().tolist()

    assert random_weights(0) == random_weights(0)
    assert random_weights(0) != random_weights(1)
    assert random_weights(0) != random_weights(0, "b")


def test_a_loss_that_is_not_finite_is_an_error():
    weight = keras.Variable(1.0)
    with pytest.raises(RunError, match=r"diverged.*nan.*leave the measure out of --measures"):
        minimise([weight], lambda random: weight.value * float("nan"), MeasureTraining(2, 1, 0.1))
