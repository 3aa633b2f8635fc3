"""The deep variational information bottleneck, from its equations."""

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf
from scipy.special import log_softmax

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.vib import VIB


def softplus(x):
    return np.log1p(np.exp(x))


def test_loss_and_gradient_of_the_classifier():
    """CE of softmax(W z + b) + β·½ Σ (μ² + σ² - log σ² - 1), z = μ + σ ε."""
    model = small.build(lambda encoder: small.vib(encoder, kl_weight=0.1))
    endpoints = model.encoder(small.IMAGES, training=True)
    mean = np.float64(endpoints["global"])
    stddev = softplus(np.float64(model.stddev(endpoints["fc"])) - 5)
    noise = priors.GaussianPrior(5).sample(StepRandom(0, 0).uniform("bottleneck", 16, (5,)))
    codes = mean + stddev * np.float64(noise)
    kernel, bias = (np.float64(v) for v in model.classifier.trainable_variables)
    log_p = log_softmax(codes @ kernel + bias, axis=1)
    cross_entropy = -np.mean(log_p[np.arange(16), small.LABELS])
    divergence = 0.5 * np.mean(np.sum(mean**2 + stddev**2 - 2 * np.log(stddev) - 1, axis=1))

    model = small.build(lambda encoder: small.vib(encoder, kl_weight=0.1))
    with tf.GradientTape() as tape:
        losses = model.objective(small.BATCH, StepRandom(0, 0))
    np.testing.assert_allclose(losses.metrics["cross_entropy"], cross_entropy, rtol=1e-4)
    np.testing.assert_allclose(losses.metrics["kl_divergence"], divergence, rtol=1e-4)
    np.testing.assert_allclose(losses.loss, cross_entropy + 0.1 * divergence, rtol=1e-4)
    accuracy = np.mean(np.argmax(log_p, axis=1) == small.LABELS)
    np.testing.assert_allclose(losses.metrics["accuracy"], accuracy)

    gradient = tape.gradient(losses.loss, model.classifier.trainable_variables[0].value)
    wrong = np.exp(log_p) - np.eye(3)[small.LABELS]
    np.testing.assert_allclose(gradient, codes.T @ wrong / 16, rtol=1e-3, atol=1e-5)


def test_mean_and_stddev_learn_from_the_cross_entropy():
    """The codes are differentiable in μ and σ."""
    model = small.build(small.vib)
    small.check_learns_from(model, "cross_entropy", model.stddev.trainable_variables[0])


def test_attributes_have_a_sigmoid_each():
    model = small.build(lambda encoder: VIB(encoder, 3, multi_label=True, kl_weight=0.0))
    truth = np.eye(3, dtype=np.int64)[small.LABELS]
    batch = small.BATCH._replace(labels=tf.constant(truth))
    losses = model.objective(batch, StepRandom(0, 0), training=False)
    bottleneck = model.bottleneck(model.encoder(small.IMAGES)).distribution
    noise = priors.GaussianPrior(5).sample(StepRandom(0, 0).uniform("bottleneck", 16, (5,)))
    logits = np.float64(model.classifier(bottleneck.loc + bottleneck.scale * noise))
    expected = np.mean(softplus(np.where(truth, -logits, logits)))
    np.testing.assert_allclose(losses.loss, expected, rtol=1e-4)


def test_the_noise_is_small_at_first():
    """σ = softplus(s - 5), as in the authors' code: 0.007 for s = 0."""
    model = small.build(small.vib)
    stddev = model.bottleneck(model.encoder(small.IMAGES)).distribution.scale.numpy()
    assert 0.001 < stddev.min() < stddev.max() < 0.1


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="give Batch\\(images, labels=labels\\)"):
        small.build(small.vib).train_step(small.BATCH.images)
