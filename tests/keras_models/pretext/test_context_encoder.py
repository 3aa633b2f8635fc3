"""The context encoder: what it sees, what it paints, and both losses."""

import finite_differences
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.pretext.context_encoder import ContextEncoder, masked, reconstruction_loss

RANDOM = StepRandom(seed=0, step=tf.constant(3))


def test_the_centre_is_hidden_but_for_a_border():
    images = np.random.default_rng(0).uniform(0.1, 1, (2, 64, 64, 3)).astype(np.float32)
    seen, region, weights = masked(tf.constant(images))
    np.testing.assert_array_equal(region, images[:, 16:48, 16:48])
    expected = images.copy()
    expected[:, 18:46, 18:46] = 0
    np.testing.assert_array_equal(seen, expected)
    assert weights.shape == (32, 32, 1)
    assert (weights[2:30, 2:30] == 1).all()
    assert weights.sum() == 28**2 + 10 * (32**2 - 28**2)


def test_the_reconstruction_is_the_equation_with_its_gradient():
    rng = np.random.default_rng(0)
    region, painted = rng.normal(size=(2, 3, 4, 4, 1))
    weights = masked(tf.zeros([1, 8, 8, 1]))[2]

    def equation(painted):
        total = 0.0
        for n, y, x in np.ndindex(3, 4, 4):
            is_border = y in (0, 3) or x in (0, 3)
            total += (10 if is_border else 1) * (region[n, y, x, 0] - painted[n, y, x, 0]) ** 2
        return total / 48

    finite_differences.assert_equation(
        lambda x: reconstruction_loss(tf.constant(region, tf.float32), x, weights),
        equation,
        painted,
    )


def test_the_losses_are_those_of_both_players():
    model = small.build(small.context_encoder)
    seen, region, weights = masked(small.BATCH.images)
    painted = model.decoder(model.encoder(seen)["global"])
    real, fake = (model.discriminator(x).numpy().astype(float) for x in (region, painted))
    losses = model.objective(small.BATCH, RANDOM, training=False)
    error = np.mean(weights * (region - painted) ** 2)
    painter = np.mean(np.log1p(np.exp(-fake)))  # -E[log D(painted)]
    np.testing.assert_allclose(losses.loss, 0.9 * error + 0.1 * painter, rtol=1e-4)
    adversary = np.mean(np.log1p(np.exp(-real))) + np.mean(np.log1p(np.exp(fake)))
    np.testing.assert_allclose(losses.adversary_loss, adversary, rtol=1e-4)


def test_the_hidden_pixels_reach_the_loss_alone():
    model = small.build(small.context_encoder)
    other = small.IMAGES.copy()
    other[:, 3:5, 3:5] *= -1
    features = [
        model.objective(small.BATCH._replace(images=tf.constant(x)), RANDOM, training=False)
        for x in (small.IMAGES, other)
    ]
    np.testing.assert_array_equal(features[0].features, features[1].features)
    assert float(features[0].loss) != float(features[1].loss)


def test_what_does_not_fit_is_refused():
    model = small.build(small.context_encoder)
    with pytest.raises(ValueError, match="the region has the shape"):
        ContextEncoder(model.encoder, small.decoder(model.encoder), model.discriminator)
    with pytest.raises(ValueError, match="adversarial_weight=1; expected a number from 0"):
        ContextEncoder(model.encoder, model.decoder, model.discriminator, 1)
