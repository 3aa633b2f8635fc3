"""NICE and RealNVP are invertible, and their log-determinants are those of the full Jacobian."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import encoders
from keras_models.encoders.flow import NICE, AffineCoupling, RealNVP, dequantised

SHAPE = (8, 4, 1)
UNIT = np.random.default_rng(0).uniform(0.05, 0.95, (3, *SHAPE)).astype(np.float32)
MAKE = {"nice": lambda: NICE(SHAPE, 4, (6,)), "realnvp": lambda: RealNVP(SHAPE, 4)}


@pytest.fixture(scope="module", params=MAKE)
def flow(request):
    """With random weights everywhere: new couplings are the identity."""
    keras.utils.set_random_seed(1)
    encoder = MAKE[request.param]()
    encoder.build()
    rng = np.random.default_rng(2)
    for variable in encoder.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.15))
    return encoder


def test_the_inverse_of_the_latents_is_the_image(flow):
    latents, _ = flow.transform(tf.constant(UNIT))
    assert latents.shape == (3, 2, 1, 16)
    np.testing.assert_allclose(flow.inverse(latents), UNIT, atol=2e-5)
    assert np.abs(latents - flow.transform(tf.constant(UNIT[::-1]))[0]).max() > 0.1


def test_the_log_determinant_is_that_of_the_jacobian(flow):
    """Row k of the Jacobian is the gradient of the k-th number of the k-th of 32 equal images."""
    for image in UNIT[:2]:
        images = tf.constant(np.repeat(image[np.newaxis], 32, axis=0))
        with tf.GradientTape() as tape:
            tape.watch(images)
            latents, log_determinants = flow.transform(images)
            diagonal = tf.reduce_sum(tf.linalg.diag_part(tf.reshape(latents, [32, 32])))
        jacobian = np.float64(tape.gradient(diagonal, images)).reshape(32, 32)
        _, expected = np.linalg.slogdet(jacobian)
        np.testing.assert_allclose(log_determinants, expected, rtol=1e-4, atol=1e-3)


def test_an_image_is_encoded_by_itself(flow):
    together, of_each = flow.transform(tf.constant(UNIT))
    alone, of_one = flow.transform(tf.constant(UNIT[1:2]))
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(of_each[1:2], of_one, rtol=1e-5)


def test_endpoints_are_the_latent(flow):
    images = 2 * UNIT - 1
    endpoints = flow(images)
    latents, _ = flow.transform(dequantised(images, 0.5))
    np.testing.assert_array_equal(endpoints["local"], latents)
    np.testing.assert_array_equal(endpoints["global"], np.reshape(latents, (3, 32)))
    assert flow.endpoint_shapes() == {"local": (None, 2, 1, 16), "global": (None, 32)}
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(flow))
    again.set_weights(flow.get_weights())
    np.testing.assert_array_equal(again(images)["global"], endpoints["global"])


def test_dequantisation_fills_the_intervals_of_the_levels():
    levels = np.arange(256)
    images = (levels / 127.5 - 1).astype(np.float32)
    np.testing.assert_allclose(dequantised(images, 0.5), (levels + 0.5) / 256, atol=1e-6)
    noise = np.full(256, 0.999, np.float32)
    assert (np.floor(dequantised(images, 1e-3) * 256) == levels).all()
    assert (np.floor(dequantised(images, noise) * 256) == levels).all()


def test_nice_keeps_the_odd_numbers_and_adds_to_the_even_ones():
    """One coupling in NumPy: z_even = x_even + m(x_odd), z_odd = x_odd, times exp(s)."""
    encoder = NICE(SHAPE, 1, (6,))
    encoder.build()
    rng = np.random.default_rng(0)
    for variable in encoder.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.5))
    hidden, bias, output = (
        np.float64(v)
        for v in encoder.networks[0][0].trainable_variables + [encoder.networks[0][1].kernel]
    )
    x = 2 * np.float64(UNIT).reshape(3, 32) - 1
    z = x.copy()
    z[:, ::2] += np.maximum(x[:, 1::2] @ hidden + bias, 0) @ output
    z *= np.exp(np.float64(encoder.log_scale))
    latents, log_determinant = encoder.transform(tf.constant(UNIT))
    result = tf.nn.depth_to_space(latents, 4).numpy().reshape(3, 32)
    np.testing.assert_allclose(result, z, rtol=1e-4, atol=1e-5)
    expected = np.sum(encoder.log_scale) + 32 * np.log(2)
    np.testing.assert_allclose(log_determinant, expected, rtol=1e-5)


@pytest.mark.parametrize("by_channels", [False, True])
@pytest.mark.parametrize("flipped", [0, 1])
def test_a_coupling_depends_on_and_keeps_the_masked_half(by_channels, flipped):
    coupling = AffineCoupling((4, 2, 2), by_channels, flipped, 3)
    coupling.build((None, 4, 2, 2))
    rng = np.random.default_rng(0)
    for variable in coupling.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    kept = coupling.kept.astype(bool)
    assert kept.mean() == 0.5
    assert kept[0, 0, 0] == (not flipped)
    assert kept[0, 0, 1] == (kept[0, 0, 0] != by_channels)
    assert kept[0, 1, 0] == (kept[0, 0, 0] == by_channels)
    x = rng.normal(size=(1, 4, 2, 2)).astype(np.float32)
    y, log_determinant = coupling(x)
    np.testing.assert_array_equal(y[0][kept], x[0][kept])
    changed = np.where(kept, x, x + 1)
    y_changed, same = coupling(changed)
    np.testing.assert_allclose(same, log_determinant, rtol=1e-6)
    ratio = (y_changed - y).numpy()[0][~kept]  # exp(s) of each number
    np.testing.assert_allclose(np.sum(np.log(ratio)), log_determinant[0], rtol=1e-4, atol=1e-4)


def test_sides_that_are_no_multiples_of_4_are_refused():
    for name in MAKE:
        with pytest.raises(ValueError, match="multiples of 4, not 8x6; give another image size"):
            encoders.get(name, image_shape=(8, 6, 1))
        with pytest.raises(ValueError, match=f"the encoder '{name}' needs image_shape"):
            encoders.get(name)
