import harness
import keras
import numpy as np
import tensorflow as tf

from keras_models.nn.discriminators import Discriminator, ImageDiscriminator


def make_discriminator(dim=5):
    discriminator = Discriminator((7, 4))
    discriminator.build((None, dim))
    return discriminator


def test_output_is_one_float32_logit_for_each_feature():
    logits = make_discriminator()(tf.zeros([6, 5]))
    assert logits.shape == (6,)
    assert logits.dtype == tf.float32


def test_logit_equals_the_dense_layers():
    discriminator = make_discriminator()
    features = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    w1, b1, w2, b2, w3, b3 = discriminator.get_weights()
    hidden = np.maximum(features @ w1 + b1, 0)
    hidden = np.maximum(hidden @ w2 + b2, 0)
    np.testing.assert_allclose(discriminator(features), (hidden @ w3 + b3)[:, 0], atol=1e-6)


def test_paper_sizes_by_default():
    discriminator = Discriminator()
    discriminator.build((None, 64))
    shapes = [v.shape for v in discriminator.trainable_variables]
    assert shapes == [(64, 1000), (1000,), (1000, 200), (200,), (200, 1), (1,)]


def test_has_no_batch_statistics():
    """A gradient penalty of each example would mean nothing with batch norm."""
    discriminator = make_discriminator()
    assert not discriminator.non_trainable_variables
    features = tf.random.stateless_normal([6, 5], [0, 0])
    np.testing.assert_allclose(discriminator(features)[:2], discriminator(features[:2]), atol=1e-6)


def test_serialisation_round_trip():
    discriminator = make_discriminator()
    config = keras.saving.serialize_keras_object(discriminator)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == discriminator.get_config()
    again.set_weights(discriminator.get_weights())
    features = tf.random.stateless_normal([6, 5], [0, 0])
    np.testing.assert_array_equal(again(features), discriminator(features))


def make_image_discriminator():
    discriminator = ImageDiscriminator((3, 4))
    discriminator.build((None, 8, 8, 2))
    return discriminator


def test_image_discriminator_passes_the_harness():
    harness.check(
        make_image_discriminator,
        lambda discriminator, images: discriminator(images),
        tf.random.stateless_normal([5, 8, 8, 2], [0, 0]),
        bfloat16=0.3,
    )


def test_image_discriminator_judges_each_image_alone():
    images = tf.random.stateless_normal([5, 8, 8, 2], [0, 0])
    discriminator = make_image_discriminator()
    logits = discriminator(images)
    assert (logits.shape, logits.dtype) == ((5,), tf.float32)
    np.testing.assert_allclose(discriminator(images[:2]), logits[:2], atol=1e-6)
