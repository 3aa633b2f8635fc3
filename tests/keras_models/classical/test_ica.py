import numpy as np
import pytest

from keras_models.classical import ica


def mixture(count=4000, sources=3, seed=0):
    """Laplacian sources, mixed, whitened; the sources and the rows."""
    rng = np.random.default_rng(seed)
    s = rng.laplace(size=(count, sources))
    s = (s - s.mean(0)) / s.std(0)
    x = s @ rng.normal(size=(sources, sources)).T
    variances, axes = np.linalg.eigh(np.cov(x, rowvar=False))
    return s, x @ (axes / np.sqrt(variances))


def random_point(size=4):
    rng = np.random.default_rng(1)
    weights = np.eye(size) + 0.3 * rng.normal(size=(size, size))
    return weights, rng.normal(size=size), rng.normal(size=(50, size))


def numeric(function, at, step=1e-6):
    """The gradient of a function of an array by central differences."""
    result = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        change = np.zeros_like(at)
        change[index] = step
        result[index] = (function(at + change) - function(at - change)) / (2 * step)
    return result


def test_entropy_is_the_mean_log_determinant_of_the_jacobian():
    weights, bias, z = random_point()
    logs = []
    for row in z:
        y = 1 / (1 + np.exp(-(weights @ row + bias)))
        logs.append(np.log(abs(np.linalg.det((y * (1 - y))[:, None] * weights))))
    assert ica.entropy(weights, bias, z) == pytest.approx(np.mean(logs), rel=1e-10)


def test_gradient_is_the_numeric_one():
    weights, bias, z = random_point()
    by_weights, by_bias = ica.gradient(weights, bias, z)
    expected = numeric(lambda w: ica.entropy(w, bias, z), weights)
    np.testing.assert_allclose(by_weights, expected, atol=1e-7)
    expected = numeric(lambda b: ica.entropy(weights, b, z), bias)
    np.testing.assert_allclose(by_bias, expected, atol=1e-7)


def test_natural_gradient_is_the_gradient_in_the_metric_of_the_matrices():
    weights, bias, z = random_point()
    by_weights, by_bias = ica.gradient(weights, bias, z)
    natural, of_bias = ica.natural_gradient(weights, bias, z)
    np.testing.assert_allclose(natural, by_weights @ weights.T @ weights, atol=1e-10)
    np.testing.assert_array_equal(of_bias, by_bias)


@pytest.mark.parametrize("method", [ica.infomax, ica.fastica])
def test_known_sources_are_separated(method):
    sources, z = mixture()
    unmixing = method(z)
    assert unmixing.converged
    estimated = z @ unmixing.weights.T + unmixing.bias
    correlation = np.abs(np.corrcoef(sources.T, estimated.T)[:3, 3:])
    # Each source is one of the estimated ones, and no two are the same.
    assert sorted(correlation.argmax(1)) == [0, 1, 2]
    assert correlation.max(1).min() > 0.99
    assert np.sort(correlation, axis=1)[:, :2].max() < 0.1
    mixed = np.abs(np.corrcoef(sources.T, z.T)[:3, 3:])
    assert mixed.max(1).min() < 0.95  # the task is none without unmixing


def test_infomax_raises_the_entropy_until_the_gradient_is_nothing():
    _, z = mixture()
    values = [ica.infomax(z, iterations=n).entropy for n in range(0, 20, 5)]
    assert np.all(np.diff(values) > 0)
    unmixing = ica.infomax(z)
    by_weights, by_bias = ica.gradient(unmixing.weights, unmixing.bias, z)
    assert max(np.abs(by_weights).max(), np.abs(by_bias).max()) < 1e-3
    assert ica.infomax(z, iterations=2).converged is False


def test_outputs_are_independent_and_nearly_uniform():
    """The largest entropy of numbers in (0, 1) is that of independent uniform ones."""
    _, z = mixture()
    unmixing = ica.infomax(z)
    y = 1 / (1 + np.exp(-(z @ unmixing.weights.T + unmixing.bias)))
    np.testing.assert_allclose(y.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(y.var(0), 1 / 12, rtol=0.15)
    correlation = np.corrcoef(y, rowvar=False)
    assert np.abs(correlation - np.eye(3)).max() < 0.05


def test_fastica_is_a_function_of_the_seed():
    _, z = mixture()
    first, again = ica.fastica(z, seed=3), ica.fastica(z, seed=3)
    np.testing.assert_array_equal(first.weights, again.weights)
    assert ica.fastica(z, iterations=1).converged is False
