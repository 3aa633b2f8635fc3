"""Neural dependency measure: total correlations that are known, and what it must not depend on."""

import numpy as np
import pytest
from information import DIMS, NATS, correlated_normals, estimate
from sample_representations import evaluation_data, representation

from dim_tf.evaluation.fitting import MeasureTraining
from dim_tf.evaluation.measures.ndm import NeuralDependencyMeasure, total_correlation

DATA = evaluation_data(train=2048, test=512)


def measure(kind, steps=60, batch_size=128, seeds=1, learning_rate=1e-3):
    features = representation(kind, DATA)
    return NeuralDependencyMeasure(features, steps, batch_size, seeds, learning_rate)


def one_hot_dependence(copies):
    """Of a one-hot label of DATA, that many times: sum of the entropies less the joint one."""
    shares = np.bincount(DATA.test.labels) / len(DATA.test)
    joint = -np.sum(shares * np.log(shares))
    each = -np.sum(shares * np.log(shares) + (1 - shares) * np.log(1 - shares))
    return copies * each - joint


@pytest.mark.slow
def test_discrete_dependences():
    """A map of each number by itself, the sigmoid, changes nothing of their dependence."""
    values = {result.metric: result.value for result in measure("ideal").run()}
    assert values["ndm"] == pytest.approx(one_hot_dependence(1), rel=0.1)
    assert values["ndm_sigmoid"] == pytest.approx(one_hot_dependence(1), rel=0.1)


@pytest.mark.slow
def test_twice_the_same():
    assert next(measure("duplicated").run()).value == pytest.approx(one_hot_dependence(2), rel=0.1)


def test_dependent_numbers():
    nats = next(measure("ideal", 40, 64, learning_rate=5e-3).run()).value
    assert nats == pytest.approx(one_hot_dependence(1), rel=0.1)


def test_independent_and_constant_numbers():
    assert next(measure("random").run()).value == pytest.approx(0, abs=0.05)
    assert next(measure("constant", steps=5).run()).value == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_seeds_repeat_and_are_averaged():
    first, again = (next(measure("ideal", 3, 64, 2).run()) for _ in range(2))
    assert first == again
    assert first.uncertainty.n == 2
    assert first.uncertainty.std > 0


@pytest.mark.slow
def test_a_gaussian():
    samples = correlated_normals(50_000, 3, 1.0)
    nats = total_correlation(samples[:40_000], samples[40_000:], MeasureTraining(200, 512, 1e-3))
    assert nats == pytest.approx(1.0, rel=0.1)


@pytest.mark.long
@pytest.mark.parametrize("dim", DIMS["ndm"])
@pytest.mark.parametrize("nats", NATS)
def test_gaussians_of_known_total_correlation(dim, nats):
    assert estimate("ndm", dim, nats) == pytest.approx(nats, rel=0.1)
