"""The density of images under a flow, from the change of variables."""

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf
from scipy.stats import logistic, norm

from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.flow import dequantised
from keras_models.generative.flow import FlowDensity

PRIORS = {small.nice: logistic, small.realnvp: norm}


@pytest.mark.parametrize("make", PRIORS)
def test_bits_per_dimension(make):
    """8 - (log p_Z(z) + log |det|) / (64 log 2) of the image with the step's noise."""
    model = small.build(make)
    noise = StepRandom(0, 0).uniform("dequantization", 16, (small.SIDE, small.SIDE, 1))
    unit = (np.round((np.float64(small.IMAGES) + 1) * 127.5, 12) + noise) / 256
    latents, log_determinant = model.encoder.transform(tf.constant(unit, tf.float32))
    log_prior = PRIORS[make].logpdf(np.float64(latents)).sum(axis=(1, 2, 3))
    expected = 8 - np.mean(log_prior + log_determinant) / (64 * np.log(2))
    with tf.GradientTape() as tape:
        losses = model.objective(small.BATCH, StepRandom(0, 0))
    np.testing.assert_allclose(losses.loss, expected, rtol=1e-5)
    np.testing.assert_allclose(losses.metrics["bits_per_dimension"], expected, rtol=1e-5)
    np.testing.assert_allclose(losses.features, np.reshape(latents, (16, 64)), atol=1e-4)
    if make is small.nice:
        # d/ds_i of -log2 p: z_i·tanh(z_i/2) - 1, as the logistic's score is -tanh(z/2).
        gradient = tape.gradient(losses.loss, model.encoder.log_scale.value)
        z = np.float64(tf.nn.depth_to_space(latents, 4)).reshape(16, 64)
        slope = (np.mean(z * np.tanh(z / 2), axis=0) - 1) / (64 * np.log(2))
        np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-6)


def test_a_new_nice_knows_the_density_of_uniform_noise():
    """Of uniform u, log p(u) is log 2 + the logistic's of 2u - 1, which is uniform in [-1, 1]."""
    model = small.build(small.nice)
    u = tf.constant(np.random.default_rng(0).random((500, 8, 8, 1)), tf.float32)
    log_density, _ = model.log_density(u)
    x = np.linspace(-1, 1, 100_001)
    expected = np.mean(logistic.logpdf(x)) + np.log(2)
    assert np.mean(log_density) / 64 == pytest.approx(expected, abs=2e-3)


def test_the_density_integrates_to_1():
    """Of a new RealNVP, whose numbers are independent: ∫ p(u) du = ∏ ∫ p(u_i) du_i < 1."""
    model = small.build(small.realnvp)
    grid = (np.arange(20_000) + 0.5) / 20_000
    y = 0.05 + 0.9 * grid
    density = norm.pdf(np.log(y / (1 - y))) * 0.9 / (y * (1 - y))
    inside = norm.cdf(np.log(0.95 / 0.05)) - norm.cdf(np.log(0.05 / 0.95))
    assert np.mean(density) == pytest.approx(inside, abs=1e-4)
    u = tf.fill([2, 8, 8, 1], 0.3)
    expected = 64 * np.interp(0.3, grid, np.log(density))
    np.testing.assert_allclose(model.log_density(u)[0], expected, rtol=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"needs an invertible encoder, and conv_net\w* is none"):
        small.build(FlowDensity)
    with pytest.raises(ValueError, match="prior='uniform'; expected one of gaussian, logistic"):
        small.build(lambda encoder: FlowDensity(encoder, "uniform"))
    assert dequantised(tf.constant([-1.0]), 0.0)[0] == 0
