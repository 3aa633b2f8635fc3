import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from keras_models.classical import sfa
from keras_models.classical.encoders import QuadraticEncoder


def series(count=600, size=4):
    """Inputs and what they become: some directions change more than others."""
    rng = np.random.default_rng(0)
    before = rng.normal(size=(count, size))
    after = before + rng.normal(size=(count, size)) * np.linspace(0.1, 0.9, size)
    return before, after


def test_slowness_is_that_of_the_generalised_eigenproblem():
    before, after = series()
    fitted = sfa.fit(before, after, 5)
    z, change = sfa.expand(before), sfa.expand(after) - sfa.expand(before)
    values, vectors = scipy.linalg.eigh(
        change.T @ change / len(z), np.cov(z, rowvar=False, ddof=0), subset_by_index=[0, 4]
    )
    np.testing.assert_allclose(fitted.slowness, values, rtol=1e-8)
    ours, theirs = ((z - z.mean(0)) @ matrix for matrix in (fitted.matrix, vectors))
    np.testing.assert_allclose(np.abs((ours * theirs).mean(0)), 1, rtol=1e-6)


def test_features_have_mean_0_variance_1_no_correlation_and_these_slowness_values():
    before, after = series()
    fitted = sfa.fit(before, after, 5)
    y, moved = ((sfa.expand(x) - fitted.mean) @ fitted.matrix for x in (before, after))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(5), atol=1e-8)
    np.testing.assert_allclose(((moved - y) ** 2).mean(0), fitted.slowness, rtol=1e-8)
    assert np.all(np.diff(fitted.slowness) > 0)


def test_several_changes_are_averaged_over(monkeypatch):
    before, after = series()
    other = before + 0.2
    both = sfa.fit(before, np.stack([after, other]), 3)
    monkeypatch.setattr(sfa, "_ROWS", 100)
    twice = sfa.fit(np.tile(before, (2, 1)), np.concatenate([after, other]), 3)
    np.testing.assert_allclose(both.slowness, twice.slowness, rtol=1e-8)


def test_a_hidden_slow_product_is_found():
    """x0·x1 never changes, though both of them do: only the quadratic expansion finds it."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.3, 3.0, (2, 800))
    noise = rng.normal(size=(2, 800))
    slow = rng.choice([0.5, 1.0, 2.0], 800)
    before, after = (np.stack([a, slow / a, n], 1) for a, n in zip(angle, noise, strict=True))
    fitted = sfa.fit(before, after, 1)
    assert fitted.slowness[0] < 1e-8
    y = (sfa.expand(before) - fitted.mean) @ fitted.matrix
    assert abs(np.corrcoef(y[:, 0], slow)[0, 1]) > 0.999


def test_images_are_shifted_and_reflected():
    image = np.arange(6.0).reshape(1, 2, 3, 1)
    assert sfa.shifted(image, 0, 1)[0, :, :, 0].tolist() == [[1, 0, 1], [4, 3, 4]]
    assert sfa.shifted(image, 1, 0)[0, :, :, 0].tolist() == [[3, 4, 5], [0, 1, 2]]


def test_the_encoder_expands_as_the_fit_does():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 3, 3, 1)).astype(np.float32)
    reduction, matrix = rng.normal(size=(9, 4)), rng.normal(size=(14, 5))
    first_mean, mean = rng.normal(size=9), rng.normal(size=14)
    encoder = QuadraticEncoder((3, 3, 1), 4, 5)
    encoder.build()
    encoder.assign(reduction, first_mean, matrix, mean)
    reduced = (images.reshape(8, 9) - first_mean) @ reduction
    expected = (sfa.expand(reduced) - mean) @ matrix
    np.testing.assert_allclose(
        encoder(tf.constant(images))["global"], expected, rtol=1e-3, atol=1e-3
    )


def test_more_features_than_directions_are_refused():
    before, after = series(size=2)
    with pytest.raises(ValueError, match="vary in 5 directions, and 6 features"):
        sfa.fit(before, after, 6)
