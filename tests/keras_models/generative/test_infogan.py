import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.generative.infogan import InfoGAN

RANDOM = StepRandom(0, 0)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def golden(model):
    """Of the first step: log Q(c | G(z, c)) of each generated image, and their features."""
    code = model.code(16, RANDOM)
    codes = tf.concat([code.noise, *code.categories, code.continuous], axis=1)
    generated = model.generator(codes, training=True)
    features = np.float64(model.encoder(generated, training=True)["global"])
    (k1, b1), (k2, b2) = model.hidden.get_weights(), model.recognition.get_weights()
    outputs = leaky(leaky(features) @ k1 + b1) @ k2 + b2
    total = np.zeros(16)
    for first, size, category in ((0, 3, code.categories[0]), (3, 4, code.categories[1])):
        logits = outputs[:, first : first + size]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        total += np.log(np.sum(probabilities * category, axis=1))
    for i in range(2):
        away = outputs[:, 7 + i] - code.continuous[:, i]
        total += np.log(np.exp(-0.5 * away**2) / np.sqrt(2 * np.pi))
    return total, features


def test_information_is_the_bound_of_the_equation():
    """L_I = H(c) + E[log Q], with H of the uniform codes."""
    total, _ = golden(small.build(small.infogan))
    losses = small.build(small.infogan).objective(small.BATCH, RANDOM)
    bound = np.log(3) + np.log(4) + 2 * np.log(2) + np.mean(total)
    np.testing.assert_allclose(losses.metrics["code_information"], bound, rtol=1e-4)


def test_both_players_losses_have_the_bound():
    model = small.build(small.infogan)
    losses = model.objective(small.BATCH, RANDOM)
    bound = losses.metrics["code_information"]
    _, features = golden(small.build(small.infogan))
    kernel, bias = model.logit.get_weights()
    of_generated = (leaky(features) @ kernel + bias)[:, 0]
    encoded = np.float64(small.build(small.infogan).encoder(small.IMAGES, training=True)["global"])
    of_images = (leaky(encoded) @ kernel + bias)[:, 0]
    generator_loss = np.mean(np.log1p(np.exp(-of_generated)))
    np.testing.assert_allclose(losses.adversary_loss, generator_loss - 0.7 * bound, rtol=1e-4)
    loss = np.mean(np.log1p(np.exp(-of_images))) + np.mean(np.log1p(np.exp(of_generated)))
    np.testing.assert_allclose(losses.loss, loss - 0.7 * bound, rtol=1e-4)


def test_codes_are_uniform():
    model = small.build(small.infogan)
    code = model.code(4000, RANDOM)
    assert code.noise.shape == (4000, 3)
    for category, count in zip(code.categories, (3, 4), strict=True):
        np.testing.assert_array_equal(np.sum(category, axis=1), 1)
        np.testing.assert_allclose(np.mean(category, axis=0), 1 / count, atol=0.03)
    for part in (code.noise, code.continuous):
        assert -1 <= np.min(part) < -0.99
        assert 0.99 < np.max(part) <= 1
        np.testing.assert_allclose(np.mean(part, axis=0), 0, atol=0.05)


def test_generator_and_recognition_raise_the_information():
    """Each alone, by a step of its own optimizer on a loss that is mostly the bound."""

    def information(**rates):
        model = small.build(
            lambda encoder: InfoGAN(encoder, small.decoder(encoder, 12), (3, 4), 2, 100.0),
            **small.sgd(0.0),
        )
        model.optimizer.learning_rate = rates.get("main", 0.0)
        model.adversary_optimizer.learning_rate = rates.get("generator", 0.0)
        before = model.train_step(small.BATCH)["code_information"]
        return float(model.objective(small.BATCH, RANDOM).metrics["code_information"] - before)

    assert information(main=1e-4) > 0
    assert information(generator=1e-4) > 0


def test_wrong_codes_are_refused():
    with pytest.raises(ValueError, match="no categorical and no continuous code"):
        small.build(lambda encoder: InfoGAN(encoder, small.decoder(encoder, 4), (), 0))
    with pytest.raises(ValueError, match="takes 4 numbers, and the codes are 5"):
        small.build(lambda encoder: InfoGAN(encoder, small.decoder(encoder, 4), (3,), 2))
