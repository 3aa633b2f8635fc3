"""Autoencoder, VAE, β-VAE and adversarial autoencoder, from their equations."""

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import ConvNet, StridedCropsNet
from keras_models.generative.autoencoder import Autoencoder
from keras_models.nn.decoders import Decoder


def test_autoencoder_minimises_the_squared_error_of_the_pixels():
    model = small.build(small.autoencoder)
    codes = model.encoder(small.IMAGES, training=True)["global"]
    wrong = model.decoder(codes, training=True) - small.IMAGES
    loss = small.build(small.autoencoder).train_step(small.BATCH.images)["loss"]
    np.testing.assert_allclose(loss, np.mean(np.square(wrong)), rtol=1e-5)


def test_vae_maximises_the_evidence_lower_bound():
    """KL in closed form: ½ Σ (μ² + σ² - log σ² - 1); the likelihood is N(decoded, 1)."""

    def make(encoder):
        return small.vae(encoder, kl_weight=4.0)

    model = small.build(make)
    endpoints = model.encoder(small.IMAGES, training=True)
    mean = np.float64(endpoints["global"])
    log_variance = np.float64(model.log_variance(endpoints["fc"]))
    divergence = 0.5 * np.sum(mean**2 + np.exp(log_variance) - log_variance - 1, axis=1)

    noise = priors.GaussianPrior(5).sample(StepRandom(0, 0).uniform("posterior", 16, (5,)))
    codes = tf.cast(mean + np.exp(0.5 * log_variance) * noise, tf.float32)
    wrong = np.float64(model.decoder(codes, training=True)) - small.IMAGES
    likelihood = -0.5 * np.sum(wrong**2 + np.log(2 * np.pi), axis=(1, 2, 3))

    metrics = small.build(make).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["kl_divergence"], divergence.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["log_likelihood"], likelihood.mean(), rtol=1e-4)
    expected = np.mean(4.0 * divergence - likelihood)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)


@pytest.mark.parametrize("kl_weight", [1.0, 4.0])
def test_mean_and_variance_of_vae_learn_from_the_likelihood(kl_weight):
    """The codes are differentiable in μ and σ."""
    model = small.build(lambda encoder: small.vae(encoder, kl_weight))
    small.check_learns_from(model, "log_likelihood", model.log_variance.trainable_variables[0])


def test_posterior_is_around_the_global_feature():
    model = small.build(small.vae)
    endpoints = model.encoder(small.IMAGES)
    posterior = model.posterior(endpoints)
    np.testing.assert_array_equal(posterior.mean(), endpoints["global"])
    std = np.std(posterior.sample(300, seed=0), axis=0)
    np.testing.assert_allclose(std, posterior.stddev(), rtol=0.25)


@pytest.mark.parametrize("prior", ["uniform", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_aae_decodes_what_it_matches_with_the_prior(prior):
    model = small.build(lambda encoder: small.aae(encoder, prior=prior))
    seen = []
    matching_call, decode = model.matching.discriminator.call, model.decoder.call
    model.matching.discriminator.call = lambda x: seen.append(x) or matching_call(x)
    model.decoder.call = lambda x, training: seen.append(x) or decode(x, training=training)
    metrics = model.train_step(small.BATCH)
    decoded, of_prior, encoded, for_encoder = (x.numpy() for x in seen)
    np.testing.assert_array_equal(decoded, encoded)
    np.testing.assert_array_equal(decoded, for_encoder)
    if prior == "uniform":
        assert 0 < decoded.min() < decoded.max() < 1
    noise = StepRandom(0, 0).uniform("prior", 16, (1, 5))
    np.testing.assert_array_equal(of_prior, priors.get(prior, 5).sample(noise[:, 0]))
    expected = metrics["squared_error"] + 0.3 * metrics["prior_encoder_loss"]
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("part", ["squared_error", "prior_encoder_loss"])
def test_the_encoder_of_aae_learns_from_both_parts_of_its_loss(part):
    small.check_learns_from(small.build(small.aae), part)


@pytest.mark.slow
def test_the_discriminator_of_aae_has_its_own_optimizer():
    model = small.build(small.aae)
    owned = {id(v) for v in model.adversary_variables}
    assert owned == {id(v) for v in model.matching.discriminator.trainable_variables}
    assert owned.isdisjoint(id(v) for v in model.main_variables)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="weight of prior matching is 0"):
        small.build(lambda encoder: small.aae(encoder, weight=0.0))
    with pytest.raises(ValueError, match="the decoder makes \\(16, 16, 1\\)"):
        small.build(lambda encoder: Autoencoder(encoder, Decoder((16, 16, 1), 5, (8, 4))))
    several = StridedCropsNet((8, 8, 1), (4, 2), ((4, 3, 1, 1),), ((5, 2, 1, 0),), latent_dim=0)
    model = small.autoencoder(several)
    with pytest.raises(ValueError, match="one global feature an image; this encoder has 2x2"):
        model.build()


@pytest.mark.parametrize("make", [small.autoencoder, small.vae, small.bigan])
def test_a_decoder_of_another_shape_than_the_encoders_is_refused(make):
    encoder = ConvNet((4, 4, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    with pytest.raises(ValueError, match=r"shape \(4, 4, 1\), the decoder makes \(8, 8, 1\)"):
        make(encoder)
