import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom


def pairs(model):
    """(x, E(x)) and (G(z), z) of the first step, from the parts of a model."""
    codes = tf.sigmoid(model.encoder(small.IMAGES, training=True)["global"])
    sampled = StepRandom(0, 0).uniform("codes", 16, (small.LATENT,))
    return (small.BATCH.images, codes), (model.generator(sampled, training=True), sampled)


def test_the_discriminator_sees_images_with_their_codes_and_codes_with_their_images():
    model = small.build(small.bigan)
    seen = []
    call = model.discriminator.call
    model.discriminator.call = lambda pair: seen.append(pair) or call(pair)
    model.train_step(small.BATCH)
    encoded, generated = pairs(small.build(small.bigan))
    assert len(seen) == 4  # both kinds for each player
    for result, expected in zip(seen, (encoded, generated, generated, encoded), strict=True):
        for part, wanted in zip(result, expected, strict=True):
            np.testing.assert_allclose(part, wanted, atol=1e-5)


def test_losses_are_those_of_two_players():
    model = small.build(lambda encoder: small.bigan(encoder, penalty=0.0))
    encoded, generated = pairs(model)
    p_encoded, p_generated = (
        1 / (1 + np.exp(-np.float64(model.discriminator(pair)))) for pair in (encoded, generated)
    )
    metrics = small.build(lambda encoder: small.bigan(encoder, penalty=0.0)).train_step(small.BATCH)
    value = np.mean(np.log(p_encoded)) + np.mean(np.log(1 - p_generated))
    np.testing.assert_allclose(metrics["pair_divergence"], value, rtol=1e-4)
    exchanged = np.mean(np.log(1 - p_encoded)) + np.mean(np.log(p_generated))
    np.testing.assert_allclose(metrics["loss"], -exchanged, rtol=1e-4)
    accuracy = (np.mean(p_encoded > 0.5) + np.mean(p_generated < 0.5)) / 2
    np.testing.assert_allclose(metrics["pair_accuracy"], accuracy, atol=1e-6)


def test_reconstruction_is_the_squared_distance_of_codes_from_those_of_their_images():
    def of_bigan(reconstruction):
        model = small.build(lambda encoder: small.bigan(encoder, reconstruction=reconstruction))
        return model, model.objective(small.BATCH, StepRandom(0, tf.constant(0)))

    _, without = of_bigan(0.0)
    _, result = of_bigan(0.5)
    reference = small.build(small.bigan)
    _, (images, codes) = pairs(reference)  # the moving statistics are now of the real images
    features = np.float64(reference.encoder(images, training=False)["global"])
    again = 1 / (1 + np.exp(-features))
    distance = np.mean(np.sum((codes - again) ** 2, axis=1))
    np.testing.assert_allclose(result.metrics["code_reconstruction"], distance, rtol=1e-4)
    np.testing.assert_allclose(result.loss - without.loss, 0.5 * distance, rtol=1e-4)
    assert "code_reconstruction" not in without.metrics
    np.testing.assert_array_equal(result.adversary_loss, without.adversary_loss)


@pytest.mark.parametrize("make", [small.bigan, small.ali])
def test_reconstruction_is_part_of_the_configuration(make):
    model = small.build(lambda encoder: make(encoder, reconstruction=0.5))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.reconstruction == 0.5


def test_encoder_and_generator_learn_from_the_reconstruction():
    """Without the other terms, both halves have its gradient, and the discriminator none."""
    model = small.build(lambda encoder: small.bigan(encoder, reconstruction=1.0))
    random = StepRandom(0, tf.constant(0))
    with tf.GradientTape(persistent=True) as tape:
        distance = model.objective(small.BATCH, random).metrics["code_reconstruction"]
    for part, learns in (("encoder", True), ("generator", True), ("discriminator", False)):
        gradients = tape.gradient(distance, getattr(model, part).trainable_variables)
        assert any(g is not None and np.any(g) for g in gradients) == learns, part


@pytest.mark.slow
def test_each_player_moves_its_own_weights_the_other_way():
    """The discriminator alone raises the divergence, encoder and generator alone lower it."""

    def after_a_step(**rates):
        model = small.build(lambda encoder: small.bigan(encoder, penalty=0.0), **small.sgd(0.0))
        model.optimizer.learning_rate = rates.get("makers", 0.0)
        model.adversary_optimizer.learning_rate = rates.get("discriminator", 0.0)
        before = [v.numpy() for v in (*model.main_variables, *model.adversary_variables)]
        first = model.train_step(small.BATCH)["pair_divergence"]
        after = [v.numpy() for v in (*model.main_variables, *model.adversary_variables)]
        moved = [not np.array_equal(a, b) for a, b in zip(after, before, strict=True)]
        model.optimizer.iterations.assign(0)  # the same noise once more
        again = model.train_step(small.BATCH)["pair_divergence"]
        count = len(model.main_variables)
        return float(again - first), any(moved[:count]), any(moved[count:])

    change, makers, discriminator = after_a_step(discriminator=0.1)
    assert change > 0
    assert (makers, discriminator) == (False, True)
    change, makers, discriminator = after_a_step(makers=0.01)
    assert change < 0
    assert (makers, discriminator) == (True, False)


def test_gradient_penalty_is_of_image_and_code():
    """Of a discriminator that is linear, the gradient is known."""
    model = small.build(small.bigan)
    model.discriminator.call = lambda pair: (
        3.0 * pair[0][:, 0, 0, 0] + 4.0 * tf.cast(pair[1], tf.float32)[:, 0]
    )
    metrics = model.objective(small.BATCH, StepRandom(0, tf.constant(0))).metrics
    np.testing.assert_allclose(metrics["pair_gradient_penalty"], 0.5 * (25 + 25), rtol=1e-5)


def test_the_discriminator_scores_pairs_and_not_images_alone():
    model = small.build(small.bigan)
    codes = np.random.default_rng(0).uniform(size=(16, 5)).astype(np.float32)
    scores = model.discriminator((small.IMAGES, codes))
    assert scores.shape == (16,)
    assert not np.allclose(scores, model.discriminator((small.IMAGES, codes[::-1])), atol=1e-4)
    assert not np.allclose(scores, model.discriminator((small.IMAGES[::-1], codes)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("make", [small.bigan, small.ali])
def test_with_the_reconstruction_the_encoder_inverts_the_generator(make):
    """Bright and dark squares. Without it the correlation is near 0, and of G(E(x)) by chance."""
    shade = np.where(np.arange(64) % 2, 0.9, -0.9)
    noise = np.random.default_rng(0).normal(0, 0.02, (64, 8, 8, 1))
    images = tf.constant(shade[:, None, None, None] + noise, tf.float32)
    model = small.build(lambda encoder: make(encoder, reconstruction=1.0), learning_rate=1e-3)
    small.losses(model, 200, images)
    noise = np.random.default_rng(1).uniform(size=(256, small.LATENT)).astype(np.float32)
    codes = model.prior.sample(tf.constant(noise))
    endpoints = model.encoder(model.generator(codes, training=False), training=False)
    again = model.prior.to_support(endpoints["global"])
    assert np.corrcoef(np.ravel(again), np.ravel(codes))[0, 1] > 0.8
