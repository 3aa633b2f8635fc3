"""The denoising autoencoder, from its equations."""

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf
from scipy.special import ndtri

from keras_models.distribute.randomness import StepRandom
from keras_models.generative.denoising import Corruption

RANDOM = StepRandom(seed=0, step=3)
SHAPE = (small.SIDE, small.SIDE, 1)


def corrupted(masked, noise_stddev):
    """In NumPy: noise by inversion; the numbers with the largest random numbers are masked."""
    uniform = np.float64(RANDOM.uniform("corruption", 16, SHAPE))
    images = small.IMAGES + noise_stddev * ndtri(uniform * (1 - 2.0**-22) + 2.0**-23)
    order = np.argsort(RANDOM.uniform("mask", 16, (small.SIDE**2,)), axis=1)
    count = round(masked * small.SIDE**2)
    flat = images.reshape(16, -1)
    if count:
        np.put_along_axis(flat, order[:, -count:], 0.0, axis=1)
    return flat.reshape(images.shape)


@pytest.mark.parametrize(("masked", "stddev"), [(0.4, 0.0), (0.0, 0.3), (0.4, 0.3)])
def test_the_corruption_of_the_step(masked, stddev):
    result = Corruption(masked, stddev)(tf.constant(small.IMAGES), RANDOM).numpy()
    np.testing.assert_allclose(result, corrupted(masked, stddev), atol=2e-5)
    zeros = np.sum(result.reshape(16, -1) == 0, axis=1)
    np.testing.assert_array_equal(zeros, round(masked * 64))  # as many of each image
    another = Corruption(masked, stddev)(tf.constant(small.IMAGES), StepRandom(0, 4)).numpy()
    assert not np.array_equal(another, result)


def test_whole_images_are_decoded_from_corrupted_ones():
    model = small.build(small.denoising_autoencoder)
    codes = model.encoder(corrupted(0.4, 0.2).astype(np.float32), training=True)["global"]
    decoded = model.decoder(codes, training=True)
    losses = small.build(small.denoising_autoencoder).objective(small.BATCH, RANDOM)
    np.testing.assert_allclose(losses.loss, np.mean((small.IMAGES - decoded) ** 2), rtol=1e-4)
    np.testing.assert_allclose(losses.features, codes, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0.0), r"masked=1\.0; expected a fraction"),
        ((0.1, -1.0), r"noise_stddev=-1\.0; expected at least 0"),
        ((0.0, 0.0), "both 0, which leaves an autoencoder"),
    ],
)
def test_a_wrong_corruption_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Corruption(*arguments)
