import numpy as np
import small_baseline as small

from keras_models import priors
from keras_models.distribute.randomness import StepRandom

RANDOM = StepRandom(0, 0)


def test_codes_are_drawn_from_the_posterior_of_each_image():
    """They are Y + σ·ε, with the encoder's Y, log σ² of the endpoint fc, and ε of the step."""
    model = small.build(small.ali)
    seen = []
    call = model.discriminator.call
    model.discriminator.call = lambda pair: seen.append(pair) or call(pair)
    model.objective(small.BATCH, RANDOM)
    endpoints = small.build(small.ali).encoder(small.IMAGES, training=True)
    fc = np.reshape(endpoints["fc"], [16, -1])
    kernel, bias = model.log_variance.get_weights()
    sigma = np.exp(0.5 * (fc @ kernel + bias))
    normal = priors.GaussianPrior(small.LATENT)
    epsilon = normal.sample(RANDOM.uniform("posterior", 16, (small.LATENT,)))
    images, codes = seen[0]
    np.testing.assert_array_equal(images, small.IMAGES)
    np.testing.assert_allclose(codes, endpoints["global"] + sigma * epsilon, atol=1e-5)
    _, sampled = seen[1]
    np.testing.assert_allclose(sampled, normal.sample(RANDOM.uniform("codes", 16, (5,))), atol=1e-6)


def test_the_losses_are_bigans_of_these_codes():
    model = small.build(lambda encoder: small.ali(encoder, penalty=0.0))
    seen = []
    call = model.discriminator.call
    model.discriminator.call = lambda pair: seen.append(pair) or call(pair)
    losses = model.objective(small.BATCH, RANDOM)
    encoded, generated = (
        1 / (1 + np.exp(-np.float64(model.discriminator(pair)))) for pair in seen[:2]
    )
    value = np.mean(np.log(encoded)) + np.mean(np.log(1 - generated))
    np.testing.assert_allclose(losses.adversary_loss, -value, rtol=1e-4)
    exchanged = np.mean(np.log(1 - encoded)) + np.mean(np.log(generated))
    np.testing.assert_allclose(losses.loss, -exchanged, rtol=1e-4)


def test_the_spread_of_the_codes_learns():
    """The encoder's variance is a weight of the main player."""
    model = small.build(small.ali)
    main = {id(v) for v in model.main_variables}
    before = model.log_variance.get_weights()
    assert {id(v) for v in model.log_variance.trainable_variables} <= main
    model.train_step(small.BATCH)
    for old, new in zip(before, model.log_variance.get_weights(), strict=True):
        assert np.abs(new - old).max() > 1e-4
