"""β-TCVAE, from its equations."""

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf
from scipy.special import logsumexp
from scipy.stats import norm

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.generative.beta_tcvae import log_weights

TRAINING_IMAGES = 20  # of small.beta_tcvae


def numpy_terms(mean, stddev, codes, weights):
    """I(z, n), TC and the sum of KL_j, by loops over images and dimensions."""
    n, dim = codes.shape
    log_q = norm.logpdf(codes[:, None], mean, stddev)  # [n, M, D]
    joint = np.array([logsumexp(log_q[i].sum(1), b=weights[i]) for i in range(n)])
    marginals = np.array(
        [[logsumexp(log_q[i, :, j], b=weights[i]) for j in range(dim)] for i in range(n)]
    ).sum(1)
    posterior = np.array([log_q[i, i].sum() for i in range(n)])
    prior = norm.logpdf(codes).sum(1)
    return np.mean(posterior - joint), np.mean(joint - marginals), np.mean(marginals - prior)


def numpy_weights(sampling, size=16):
    if sampling == "weighted":
        return np.full((size, size), 1 / (TRAINING_IMAGES * size))
    others = (TRAINING_IMAGES - 1) / (TRAINING_IMAGES * (size - 1))
    return np.where(np.eye(size, dtype=bool), 1 / TRAINING_IMAGES, others)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_the_terms_of_the_loss(sampling):
    def make(encoder):
        return small.beta_tcvae(encoder, 6.0, sampling)

    model = small.build(make)
    endpoints = model.encoder(small.IMAGES, training=True)
    mean = np.float64(endpoints["global"])
    stddev = np.exp(0.5 * np.float64(model.log_variance(endpoints["fc"])))
    noise = priors.GaussianPrior(5).sample(StepRandom(0, 0).uniform("posterior", 16, (5,)))
    codes = mean + stddev * np.float64(noise)
    wrong = np.float64(model.decoder(codes.astype(np.float32), training=True)) - small.IMAGES
    likelihood = np.mean(-0.5 * np.sum(wrong**2 + np.log(2 * np.pi), axis=(1, 2, 3)))
    information, tc, kl = numpy_terms(mean, stddev, codes, numpy_weights(sampling))

    metrics = small.build(make).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["index_code_information"], information, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["total_correlation"], tc, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(metrics["dimension_kl_divergence"], kl, rtol=1e-3, atol=1e-3)
    expected = information + 6 * tc + kl - likelihood
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
def test_with_the_weight_1_the_terms_are_the_kl_divergence_of_a_vae(sampling):
    """Their sum is the mean of log q(z|n) - log p(z) of the codes, and so is its gradient."""

    def make(encoder):
        return small.beta_tcvae(encoder, 1.0, sampling)

    def value_and_gradient(model, divergence):
        kernels = model.encoder.trainable_variables[-2], model.log_variance.trainable_variables[0]
        with tf.GradientTape() as tape:
            value = divergence(model)
        return value, *tape.gradient(value, [kernel.value for kernel in kernels])

    def of_the_loss(model):
        losses = model.objective(small.BATCH, StepRandom(0, 0))
        return losses.loss + losses.metrics["log_likelihood"]

    def of_a_vae(model):
        posterior = model.posterior(model.encoder(small.IMAGES, training=True))
        noise = priors.GaussianPrior(5).sample(StepRandom(0, 0).uniform("posterior", 16, (5,)))
        codes = posterior.mean() + posterior.stddev() * noise
        log_prior = -0.5 * tf.reduce_sum(codes**2 + np.log(2 * np.pi), axis=1)
        return tf.reduce_mean(posterior.log_prob(codes) - log_prior)

    results = (value_and_gradient(small.build(make), of) for of in (of_the_loss, of_a_vae))
    for result, expected in zip(*results, strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)


def test_mean_and_variance_learn_from_the_likelihood():
    """The codes are differentiable in μ and σ."""
    model = small.build(small.beta_tcvae)
    small.check_learns_from(model, "log_likelihood", model.log_variance.trainable_variables[0])


def test_stratified_weights_estimate_the_density_without_bias():
    """Over all batches of 3 of 5 images with the own one, the mean weight of each is 1/5."""
    total, size = 5, 3
    sums, batches = np.zeros(total), 0
    for first in range(1, total):
        for second in range(first + 1, total):
            weights = np.exp(log_weights("stratified", size, tf.constant([1]), total))[0]
            sums[[first, 0, second]] += weights  # the own image, 0, is the second of the batch
            batches += 1
    np.testing.assert_allclose(sums / batches, 1 / total, rtol=1e-6)
    np.testing.assert_allclose(
        np.exp(log_weights("weighted", size, tf.constant([0, 1]), total)), 1 / 15, rtol=1e-6
    )


def test_an_unknown_sampling_is_refused():
    with pytest.raises(ValueError, match="sampling='mss'; expected one of stratified, weighted"):
        small.build(lambda encoder: small.beta_tcvae(encoder, 1.0, "mss"))
