import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom

RANDOM = StepRandom(0, 0)


def softplus(t):
    return np.log1p(np.exp(np.float64(t)))


def scores(model):
    """Logits of the images and of the generated ones in the first step, from a model's parts."""
    codes = 2 * RANDOM.uniform("codes", 16, (6,)) - 1
    generated = model.generator(codes, training=True)
    kernel, bias = model.logit.get_weights()

    def logits(images):
        features = np.float64(model.encoder(images, training=True)["global"])
        return (np.where(features > 0, features, 0.2 * features) @ kernel + bias)[:, 0]

    return logits(small.IMAGES), logits(generated)


def test_losses_are_those_of_the_discriminator_and_of_the_generator():
    of_images, of_generated = scores(small.build(small.dcgan))
    losses = small.build(small.dcgan).objective(small.BATCH, RANDOM)
    expected = np.mean(softplus(-of_images)) + np.mean(softplus(of_generated))
    np.testing.assert_allclose(losses.loss, expected, rtol=1e-4)
    expected = np.mean(softplus(-of_generated))
    np.testing.assert_allclose(losses.adversary_loss, expected, rtol=1e-4)
    accuracy = (np.mean(of_images > 0) + np.mean(of_generated <= 0)) / 2
    np.testing.assert_allclose(losses.metrics["image_accuracy"], accuracy, atol=1e-6)


def test_gradients_are_those_of_the_logits():
    """Of the logit's bias and, by finite differences, of the generator's image filter."""
    of_images, of_generated = scores(small.build(small.dcgan))
    model = small.build(small.dcgan)
    with tf.GradientTape(persistent=True) as tape:
        losses = model.objective(small.BATCH, RANDOM)
    bias = model.logit.trainable_variables[1]

    def sigmoid(t):
        return 1 / (1 + np.exp(-t))

    expected = -np.mean(sigmoid(-of_images)) + np.mean(sigmoid(of_generated))
    np.testing.assert_allclose(tape.gradient(losses.loss, bias)[0], expected, rtol=1e-4)
    kernel = model.generator.to_image.kernel
    gradient = tape.gradient(losses.adversary_loss, kernel).numpy()
    ends = []
    for sign in (1, -1):
        moved = small.build(small.dcgan)
        moved.generator.to_image.kernel.assign_add(sign * 1e-3 * gradient)
        ends.append(np.mean(softplus(-scores(moved)[1])))
    difference = (ends[0] - ends[1]) / 2e-3
    np.testing.assert_allclose(difference, np.sum(gradient**2), rtol=0.02)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_each_player_moves_its_own_weights_and_lowers_its_own_loss(player):
    model = small.build(small.dcgan, **small.sgd(0.0))
    moving = model.optimizer if player == "discriminator" else model.adversary_optimizer
    moving.learning_rate = 0.02

    def weights(variables):
        return [v.numpy() for v in variables]

    parts = [*model.encoder.trainable_variables, *model.logit.trainable_variables]
    before = weights(parts), weights(model.generator.trainable_variables)
    first = model.train_step(small.BATCH)
    after = weights(parts), weights(model.generator.trainable_variables)
    moved = [
        any(not np.array_equal(a, b) for a, b in zip(x, y, strict=True))
        for x, y in zip(before, after, strict=True)
    ]
    assert moved == [player == "discriminator", player == "generator"]
    again = model.objective(small.BATCH, RANDOM).metrics
    loss = {"discriminator": "loss", "generator": "generator_loss"}[player]
    second = model.objective(small.BATCH, RANDOM).loss if loss == "loss" else again[loss]
    assert second < first[loss]


def test_moving_statistics_are_of_the_images_alone():
    model, plain = small.build(small.dcgan), small.build(small.dcgan)
    model.objective(small.BATCH, RANDOM)
    plain.encoder(small.IMAGES, training=True)
    for moved, expected in zip(
        model.encoder.non_trainable_weights, plain.encoder.non_trainable_weights, strict=True
    ):
        np.testing.assert_allclose(moved, expected, atol=1e-6)
    assert model.encoder.non_trainable_weights
