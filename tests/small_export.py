"""A small encoder, images and exports for the tests of exports."""

import keras
import numpy as np
import tensorflow as tf

from keras_models import encoders

SIZE = 8


def small_encoder(channels=3):
    keras.utils.set_random_seed(0)
    encoder = encoders.ConvNet((SIZE, SIZE, channels), ((4, 4, 2, 1),), (8,), 0, 5)
    encoder.build()
    pixels = tf.random.stateless_uniform([64, SIZE, SIZE, channels], [1, 2], -1, 1)
    for _ in range(20):  # so that the moving statistics are not those of a new model
        encoder(pixels, training=True)
    return encoder


def head(multi_label=False):
    """A linear head on the small encoder's global feature."""
    from dim_tf.export.linear_head import LinearHead

    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(0, 6, (5, 3)).astype("f4"), rng.normal(0, 1, 3).astype("f4")
    return LinearHead(kernel, bias, ("cat", "dog", "Käuzchen"), multi_label)


def images(count=6):
    """float32 [count, 8, 8, 3] in [0, 1], multiples of 1/255."""
    return (np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3)) / 255).astype("f4")


def save(path, encoder=None, **options):
    """Writes the SavedModel of an encoder, without what is published beside it; its encoder."""
    from dim_tf.export import saved_model

    encoder = encoder or small_encoder()
    saved_model.save(encoder, path, saved_model.SavedModelOptions({}, **options))
    return encoder


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=1e-4, atol=1e-5)
