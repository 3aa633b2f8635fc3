import numpy as np
import pytest
import tensorflow as tf

from keras_models.classical import pca
from keras_models.classical.encoders import LinearEncoder


def images(count=40, side=5):
    """Correlated pixels, with a mean."""
    rng = np.random.default_rng(0)
    size = side * side * 3
    pixels = rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) / 40 + 0.2
    return pixels.astype(np.float32).reshape(count, side, side, 3)


def svd(x, count):
    """Axes, up to their sign, and variances."""
    _, singular, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return axes[:count].T, singular[:count] ** 2 / (len(x) - 1)


def test_components_are_those_of_the_singular_value_decomposition():
    x = images(200).reshape(200, -1)
    fitted = pca.fit(x, 6)
    axes, variances = svd(x.astype(np.float64), 6)
    np.testing.assert_allclose(fitted.mean, x.mean(0), atol=1e-6)
    np.testing.assert_allclose(fitted.variances, variances, rtol=1e-4)
    np.testing.assert_allclose(np.abs((fitted.axes * axes).sum(0)), 1, rtol=1e-5)
    total = x.var(0, ddof=1).sum()
    assert fitted.explained == pytest.approx(variances.sum() / total, rel=1e-4)


def test_the_randomized_method_is_as_good_and_a_function_of_the_seed(monkeypatch):
    x = images(200).reshape(200, -1)
    exact = pca.fit(x, 4)
    monkeypatch.setattr(pca, "EXACT_FEATURES", 10)
    randomized, again = pca.fit(x, 4, seed=1), pca.fit(x, 4, seed=1)
    np.testing.assert_array_equal(randomized.axes, again.axes)
    np.testing.assert_allclose(randomized.variances, exact.variances, rtol=1e-3)


def test_whitened_rows_have_the_identity_as_covariance():
    x = images(200).reshape(200, -1)
    white = pca.fit(x, 6).whiten(x)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(6), atol=1e-4)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)


def test_a_mean_that_is_large_beside_the_variance_does_no_harm():
    x = images(200).reshape(200, -1)
    far = pca.fit(x + 100, 6)
    np.testing.assert_allclose(far.variances, pca.fit(x, 6).variances, rtol=1e-3)


def test_the_encoder_projects():
    x = images()
    flat = x.reshape(len(x), -1)
    fitted = pca.fit(flat, 4)
    encoder = LinearEncoder((5, 5, 3), 4)
    encoder.build()
    encoder.assign(fitted.axes, fitted.mean)
    outputs = encoder(tf.constant(x))
    assert set(outputs) == {"global"}
    np.testing.assert_allclose(outputs["global"], (flat - fitted.mean) @ fitted.axes, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((5, 9), "f4"), "5 images of 9 numbers have at most 4 components, and 6"),
        (np.ones((20, 9), "f4") * np.arange(20)[:, None], "vary in 1 directions, and 6"),
    ],
)
def test_too_few_directions_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        pca.fit(x.astype(np.float32), 6)
