"""IMSAT: its equations, and the perturbations that an assignment must resist."""

import finite_differences
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.clustering.imsat import (
    IMSAT,
    cross_entropy,
    entropies,
    neighbour_distances,
    unit,
)
from keras_models.distribute.randomness import StepRandom
from keras_models.views import Augmentation, Views

RANDOM = StepRandom(seed=0, step=tf.constant(3))
LOGITS = np.random.default_rng(0).normal(size=(2, 7, 4))


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def information(logits, marginal_weight):
    """μ·H(Y) - H(Y|X)."""
    p = softmax(logits)
    marginal = p.mean(0)
    conditional = -np.mean(np.sum(p * np.log(p), axis=1))
    return marginal_weight * -np.sum(marginal * np.log(marginal)) - conditional


def test_the_information_is_the_equation_with_its_gradient():
    def ours(logits):
        marginal, conditional = entropies(logits)
        return 4 * marginal - conditional

    finite_differences.assert_equation(ours, lambda x: information(x, 4), LOGITS[0])


def test_the_invariance_is_the_equation_with_its_gradients():
    finite_differences.assert_equation(
        lambda p, q: tf.reduce_sum(cross_entropy(p, q)),
        lambda p, q: -np.sum(softmax(p) * np.log(softmax(q))),
        *LOGITS,
    )


def test_the_loss_is_the_equation():
    def make(encoder):
        return IMSAT(encoder, 3, 0.3, 2.0, views=Views(Augmentation()))

    model = small.build(make)
    changed = model.views(small.BATCH.images, RANDOM)[1]
    of_images, of_changed = (
        np.array(model.scores(model.encoder(x)["global"])) for x in (small.BATCH.images, changed)
    )
    invariance = -np.mean(np.sum(softmax(of_images) * np.log(softmax(of_changed)), axis=1))
    losses = model.objective(small.BATCH, RANDOM, training=False)
    np.testing.assert_allclose(
        losses.loss, invariance - 0.3 * information(of_images, 2.0), rtol=1e-4
    )
    np.testing.assert_allclose(losses.metrics["invariance"], invariance, rtol=1e-4)


def test_the_target_of_the_invariance_is_constant():
    """Otherwise the assignment would also move to the changed image's."""
    model = small.build(lambda encoder: IMSAT(encoder, 3, 0.0, views=Views(Augmentation())))
    changed = model.views(small.BATCH.images, RANDOM)[1]
    targets = tf.constant(model.scores(model.encoder(small.BATCH.images)["global"]))
    weights = model.head.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        loss = model.objective(small.BATCH, RANDOM, training=False).loss
        logits = model.scores(model.encoder(changed)["global"])
        expected = tf.reduce_mean(cross_entropy(targets, logits))
    for a, b in zip(tape.gradient(loss, weights), tape.gradient(expected, weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_the_perturbation_has_the_radius_and_raises_the_divergence():
    model = small.build(small.imsat)
    images = small.BATCH.images
    logits = model.scores(model.encoder(images)["global"])
    r = model.perturbation(images, logits, RANDOM, training=False)
    lengths = np.sqrt(np.sum(np.square(r), axis=(1, 2, 3)))
    np.testing.assert_allclose(lengths, 0.25 * neighbour_distances(images), rtol=1e-4)

    def divergence(images):
        moved = model.scores(model.encoder(images)["global"])
        return float(tf.reduce_mean(cross_entropy(logits, moved)))

    noise = tf.constant(np.random.default_rng(1).normal(size=r.shape), tf.float32)
    random = tf.constant(lengths[:, None, None, None], tf.float32) * unit(noise)
    assert divergence(images + r) > divergence(images + random) > divergence(images)


def test_the_distance_of_a_neighbour_is_that_of_all_distances():
    flat = small.IMAGES.reshape(16, -1)
    distances = np.sort(np.linalg.norm(flat[:, None] - flat, axis=2), axis=1)
    for rank in (1, 10):
        np.testing.assert_allclose(
            neighbour_distances(small.BATCH.images, rank), distances[:, rank], rtol=1e-4
        )
    np.testing.assert_allclose(
        neighbour_distances(small.BATCH.images[:4]),
        np.linalg.norm(flat[:4, None] - flat[:4], axis=2).max(1),
        rtol=1e-4,
    )


def test_a_direction_of_a_tiny_gradient_has_length_one():
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 4, 4, 2)), tf.float32)
    np.testing.assert_allclose(unit(1e-30 * x), unit(x), rtol=1e-5)
    np.testing.assert_allclose(np.sum(np.square(unit(x)), axis=(1, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_array_equal(unit(0.0 * x), 0.0 * x)


def test_steps_lower_the_loss():
    losses = small.losses(small.build(small.imsat), 30)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05


def test_views_that_are_the_images_are_refused():
    encoder = small.build(small.imsat).encoder
    with pytest.raises(ValueError, match="IMSAT's views are the images"):
        IMSAT(encoder, 3, views=Views())
