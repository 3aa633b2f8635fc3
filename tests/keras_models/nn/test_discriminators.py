import harness
import keras
import numpy as np
import tensorflow as tf

from keras_models.nn.discriminators import (
    Discriminator,
    ImageDiscriminator,
    PairDiscriminator,
)


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


PAIR = (
    tf.random.stateless_normal([5, 8, 8, 2], [0, 0]),
    tf.random.stateless_normal([5, 3], [1, 0]),
)


def make_pair_discriminator(code_units=(6, 7), hidden_units=(9, 4)):
    discriminator = PairDiscriminator((3, 4), code_units, hidden_units)
    discriminator.build([(None, 8, 8, 2), (None, 3)])
    return discriminator


def test_pair_discriminator_passes_the_harness():
    harness.check(
        make_pair_discriminator,
        lambda discriminator, images, codes: discriminator((images, codes)),
        *PAIR,
        bfloat16=0.3,
    )


def dense(layer, x):
    """The layer's output with leaky ReLU, in NumPy."""
    kernel, bias = layer.get_weights()
    x = x @ kernel + bias
    return np.where(x > 0, x, 0.2 * x)


def test_image_and_code_have_layers_of_their_own_before_the_joint_ones():
    discriminator = make_pair_discriminator()
    assert [layer.units for layer in discriminator.image_layers] == [7]
    convolved = PAIR[0]
    for conv in discriminator.convs:
        convolved = tf.nn.leaky_relu(conv(convolved), 0.2)
    x = dense(discriminator.image_layers[0], np.reshape(convolved, [5, -1]))
    z = dense(discriminator.code_layers[1], dense(discriminator.code_layers[0], PAIR[1].numpy()))
    joint = np.concatenate([x, z], axis=1)
    for layer in discriminator.joint_layers:
        joint = dense(layer, joint)
    kernel, bias = discriminator.logit.get_weights()
    np.testing.assert_allclose(discriminator(PAIR), (joint @ kernel + bias)[:, 0], rtol=1e-4)


def test_without_layers_of_its_own_the_code_meets_the_flat_map():
    discriminator = make_pair_discriminator(code_units=(), hidden_units=(5,))
    shapes = [v.shape for v in discriminator.trainable_variables[4:]]
    assert shapes == [(2 * 2 * 4 + 3, 5), (5,), (5, 1), (1,)]


def test_the_layers_of_pairs_keep_the_size_of_the_signal():
    """At first, mean squares after the code's layers and the joint ones are those of the code."""
    keras.utils.set_random_seed(0)
    discriminator = PairDiscriminator((64,), (512, 512), (512, 512))
    discriminator.build([(None, 4, 4, 8), (None, 64)])
    code = tf.random.stateless_normal([32, 64], [0, 0])
    x = code
    for layer in discriminator.code_layers:
        x = tf.nn.leaky_relu(layer(x), 0.2)
    assert 0.7 < np.mean(x**2) < 1.4
    x = tf.concat([x, x], axis=1)
    for layer in discriminator.joint_layers:
        x = tf.nn.leaky_relu(layer(x), 0.2)
    assert 0.6 < np.mean(x**2) < 1.6
