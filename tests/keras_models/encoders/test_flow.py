"""NICE and RealNVP are invertible, and their log-determinants are those of the full Jacobian."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import in_bfloat16

from keras_models import encoders
from keras_models.encoders.flow import NICE, AffineCoupling, RealNVP, dequantised

SHAPE = (8, 4, 1)
UNIT = np.random.default_rng(0).uniform(0.05, 0.95, (3, *SHAPE)).astype(np.float32)
MAKE = {"nice": lambda: NICE(SHAPE, 4, (6,)), "realnvp": lambda: RealNVP(SHAPE, 4)}


def random_flow(make):
    """With random weights everywhere: new couplings are the identity."""
    keras.utils.set_random_seed(1)
    encoder = make()
    encoder.build()
    rng = np.random.default_rng(2)
    for variable in encoder.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.15))
    return encoder


@pytest.fixture(scope="module", params=MAKE)
def flow(request):
    return random_flow(MAKE[request.param])


def jacobian(function, x):
    """∂(numbers of function(x))/∂(numbers of x), float64: row k from the k-th of equal inputs."""
    size = x.size
    inputs = tf.constant(np.repeat(x[np.newaxis], size, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.reshape(function(inputs), [size, size])
        diagonal = tf.reduce_sum(tf.linalg.diag_part(outputs))
    return np.float64(tape.gradient(diagonal, inputs)).reshape(size, size)


def test_the_inverse_of_the_latents_is_the_image(flow):
    latents, _ = flow.transform(tf.constant(UNIT))
    assert latents.shape == (3, 2, 1, 16)
    np.testing.assert_allclose(flow.inverse(latents), UNIT, atol=2e-5)
    assert np.abs(latents - flow.transform(tf.constant(UNIT[::-1]))[0]).max() > 0.1


def test_the_log_determinant_is_that_of_the_jacobian(flow):
    _, log_determinants = flow.transform(tf.constant(UNIT[:2]))
    for image, log_determinant in zip(UNIT[:2], log_determinants, strict=True):
        full = jacobian(lambda images: flow.transform(images)[0], image)
        _, expected = np.linalg.slogdet(full)
        np.testing.assert_allclose(log_determinant, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("couplings", [2, 3, 4])
def test_with_3_couplings_each_number_of_nice_depends_on_all_others(couplings):
    encoder = random_flow(lambda: NICE(SHAPE, couplings, (40,)))
    full = jacobian(lambda images: encoder.transform(images)[0], UNIT[0])
    assert np.all(full) == (couplings >= 3)
    other_way = jacobian(
        lambda latents: encoder.inverse(latents), encoder.transform(UNIT[:1])[0][0].numpy()
    )
    assert np.all(other_way) == (couplings >= 3)


def test_every_scale_of_realnvp_transforms_each_number():
    """With the default number of couplings, each number that leaves a scale depends on others."""
    encoder = random_flow(lambda: RealNVP(SHAPE, 16))
    for couplings in encoder.scales:

        def through(x, couplings=couplings):
            for coupling in couplings:
                x, _ = coupling(x)
            return x

        x = np.random.default_rng(3).normal(size=couplings[0].shape).astype(np.float32)
        others = np.count_nonzero(jacobian(through, x), axis=1) - 1
        assert others.min() > 0, couplings[0].name
    full = jacobian(lambda images: encoder.transform(images)[0], UNIT[0])
    assert np.count_nonzero(full, axis=0).min() > 1
    assert np.count_nonzero(full, axis=1).min() > 1


def test_the_masks_of_realnvp_alternate():
    for couplings in RealNVP(SHAPE, 4).scales:
        for coupling, following in itertools.pairwise(couplings):
            np.testing.assert_array_equal(coupling.kept + following.kept, 1)


def test_flows_have_the_papers_numbers_of_couplings():
    """NICE 4; RealNVP 3 of each kind of mask at a scale, and 4 at the last."""
    assert len(NICE(SHAPE).networks) == 4
    assert [len(couplings) for couplings in RealNVP(SHAPE).scales] == [3, 3, 3, 3, 4]


@pytest.mark.parametrize("name", MAKE)
def test_a_policy_of_bfloat16_rounds_neither_images_nor_the_latent(name):
    """Only the networks compute in it, as in `transform` outside of a call."""
    encoder = in_bfloat16(lambda: random_flow(MAKE[name]))
    images = tf.constant(2 * UNIT - 1)
    latents, _ = encoder.transform(dequantised(images, 0.5))
    endpoints = encoder(images)
    assert endpoints["global"].dtype == tf.float32
    np.testing.assert_allclose(
        endpoints["global"], np.reshape(latents, (3, 32)), rtol=1e-6, atol=1e-6
    )


def test_new_flows_of_a_policy_of_bfloat16_are_those_of_float32():
    """Their networks are 0, so nothing is rounded."""
    images = 2 * UNIT - 1
    for make in MAKE.values():
        full, half = make(), in_bfloat16(make)
        np.testing.assert_allclose(half(images)["global"], full(images)["global"], rtol=1e-5)


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


def test_an_affine_coupling_is_that_of_the_paper():
    """NumPy: y = b·x + (1 - b)·(x·exp(scale·tanh(r)) + t), r and t from a residual block of b·x."""
    coupling = AffineCoupling((4, 2, 2), False, 1, 3)
    coupling.build((None, 4, 2, 2))
    rng = np.random.default_rng(0)
    for variable in coupling.trainable_variables:
        variable.assign(rng.normal(size=variable.shape, scale=0.5))

    def convolved(maps, conv):
        kernel, bias = (np.float64(v) for v in (conv.kernel, conv.bias))
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
        places = ((i, j) for i in range(3) for j in range(3))
        return bias + sum(padded[:, i : i + 4, j : j + 2] @ kernel[i, j] for i, j in places)

    x = np.random.default_rng(1).normal(size=(3, 4, 2, 2))
    black = np.indices((4, 2)).sum(axis=0)[..., np.newaxis] % 2  # kept
    maps = convolved(black * x, coupling.convs[0])
    inner = convolved(np.maximum(maps, 0), coupling.convs[1])
    maps = maps + convolved(np.maximum(inner, 0), coupling.convs[2])
    outputs = np.maximum(maps, 0) @ np.float64(coupling.output_conv.kernel)[0, 0]
    log_scale = (1 - black) * np.float64(coupling.scale) * np.tanh(outputs[..., :2])
    shift = (1 - black) * (outputs[..., 2:] + np.float64(coupling.shift))
    y, log_determinant = coupling(tf.constant(x, tf.float32))
    np.testing.assert_allclose(y, x * np.exp(log_scale) + shift, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_determinant, log_scale.sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-5)


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
