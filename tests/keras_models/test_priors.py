import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import priors


@pytest.fixture
def noise():
    return tf.random.stateless_uniform([2000, 3], [0, 0])


def test_uniform_samples_are_uniform_on_the_unit_cube(noise):
    samples = priors.get("uniform", 3).sample(noise).numpy()
    assert samples.shape == (2000, 3)
    assert samples.dtype == np.float32
    assert samples.min() >= 0
    assert samples.max() <= 1
    # 2000 samples: a standard error of 0.011 of a decile's place, at most.
    deciles = np.arange(1, 10) / 10
    for column in samples.T:
        np.testing.assert_allclose(np.quantile(column, deciles), deciles, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(samples.T), np.eye(3), atol=0.1)


def test_the_noise_decides_the_samples(noise):
    prior = priors.get("uniform", 3)
    np.testing.assert_array_equal(prior.sample(noise), prior.sample(noise))
    # By inversion, and the inverse of the uniform distribution function is the identity.
    np.testing.assert_allclose(prior.sample(noise), noise, atol=1e-7)


def test_to_support_is_the_sigmoid():
    features = np.linspace(-8, 8, 33, dtype=np.float32).reshape(11, 3)
    mapped = priors.get("uniform", 3).to_support(tf.constant(features))
    np.testing.assert_allclose(mapped, 1 / (1 + np.exp(-features)), rtol=1e-5)


def test_to_support_stays_in_the_support():
    mapped = priors.get("uniform", 3).to_support(tf.constant([[-1e4, 0.0, 1e4]]))
    np.testing.assert_allclose(mapped, [[0, 0.5, 1]])


def test_serialisation_round_trip(noise):
    prior = priors.get("uniform", 3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
    assert type(again) is priors.UniformPrior
    assert again.dim == 3
    np.testing.assert_array_equal(again.sample(noise), prior.sample(noise))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_equal_eager(noise, jit_compile):
    prior = priors.get("uniform", 3)
    compiled = tf.function(prior.sample, jit_compile=jit_compile)
    np.testing.assert_allclose(compiled(noise), prior.sample(noise), atol=1e-7)


def test_unknown_name_raises():
    with pytest.raises(ValueError, match="uniform"):
        priors.get("cauchy", 3)
