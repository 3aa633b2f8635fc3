import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from keras_models import priors

DIM = 3


@pytest.fixture(scope="module")
def noise():
    return tf.random.stateless_uniform([4000, DIM], [0, 0])


@pytest.fixture(scope="module", params=priors.NAMES)
def prior(request):
    return priors.get(request.param, DIM)


def kolmogorov_smirnov(samples, distribution):
    """The largest distance of the distribution functions; 4000 samples: 0.03 once in 1000."""
    return stats.kstest(samples, distribution).statistic


def test_uniform_samples_are_uniform_on_the_unit_cube(noise):
    samples = priors.get("uniform", DIM).sample(noise).numpy()
    for column in samples.T:
        assert kolmogorov_smirnov(column, stats.uniform.cdf) < 0.03


def test_gaussian_samples_are_standard_normal(noise):
    samples = priors.get("gaussian", DIM).sample(noise).numpy()
    for column in samples.T:
        assert kolmogorov_smirnov(column, stats.norm.cdf) < 0.03


def test_sphere_samples_are_uniform_on_the_unit_sphere(noise):
    """In 3 dimensions each coordinate is uniform on [-1, 1] (Archimedes)."""
    samples = priors.get("sphere", DIM).sample(noise).numpy()
    np.testing.assert_allclose(np.linalg.norm(samples, axis=1), 1, rtol=1e-5)
    for column in samples.T:
        assert kolmogorov_smirnov(column, stats.uniform(-1, 2).cdf) < 0.03


@pytest.mark.parametrize("dim", [2, 3, 64])
def test_ball_samples_are_uniform_in_the_unit_ball(dim):
    """The fraction within radius r is r^D, and the radius says nothing of the direction."""
    samples = priors.get("ball", dim).sample(tf.random.stateless_uniform([4000, dim], [1, 0]))
    radius = np.linalg.norm(samples, axis=1)
    assert radius.max() <= 1 + 1e-6
    assert kolmogorov_smirnov(radius**dim, stats.uniform.cdf) < 0.03
    assert abs(stats.spearmanr(radius, np.abs(samples.numpy()[:, 0] / radius)).statistic) < 0.06


def test_columns_are_not_correlated(prior, noise):
    np.testing.assert_allclose(np.corrcoef(prior.sample(noise).numpy().T), np.eye(DIM), atol=0.06)


@pytest.mark.parametrize("name", ["uniform", "gaussian", "sphere"])
def test_samples_have_the_moments_of_tensorflow_probability(name, noise):
    prior = priors.get(name, DIM)
    samples = prior.sample(noise).numpy()
    whole = {
        "uniform": tfp.distributions.Uniform(tf.zeros(DIM), tf.ones(DIM)),
        "gaussian": tfp.distributions.Normal(tf.zeros(DIM), tf.ones(DIM)),
        "sphere": tfp.distributions.SphericalUniform(DIM),
    }
    drawn = whole[name].sample(40_000, seed=[0, 1]).numpy()
    np.testing.assert_allclose(samples.mean(0), drawn.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(drawn.T), atol=0.08)


def test_the_noise_decides_the_samples(prior, noise):
    np.testing.assert_array_equal(prior.sample(noise), prior.sample(noise))
    assert prior.sample(noise).dtype == tf.float32


def test_the_ends_of_the_noise_give_finite_samples(prior):
    """StepRandom's numbers are multiples of 2^-24 from 0 on."""
    ends = tf.constant([[0.0] * DIM, [1 - 2**-24] * DIM, [0.0, 0.5, 1 - 2**-24], [0.5] * DIM])
    assert np.isfinite(prior.sample(ends)).all()


def test_to_support():
    features = np.linspace(-8, 8, 33, dtype=np.float32).reshape(11, 3)
    features = np.delete(features, 5, axis=0)  # a row near zero has no direction
    length = np.linalg.norm(features, axis=1, keepdims=True)
    expected = {
        "uniform": 1 / (1 + np.exp(-features)),
        "gaussian": features,
        "ball": features * np.tanh(length) / length,
        "sphere": features / length,
    }
    for name in priors.NAMES:
        mapped = priors.get(name, DIM).to_support(tf.constant(features))
        np.testing.assert_allclose(mapped, expected[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_to_support_and_its_gradient_are_finite(prior, scale):
    features = scale * tf.constant([[-1.0, 0.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(features)
        mapped = prior.to_support(features)
    assert np.isfinite(mapped).all()
    assert np.isfinite(tape.gradient(mapped, features)).all()


def test_serialisation_round_trip(prior, noise):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
    assert type(again) is type(prior)
    assert again.dim == DIM
    np.testing.assert_array_equal(again.sample(noise), prior.sample(noise))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_equal_eager(prior, noise, jit_compile):
    compiled = tf.function(prior.sample, jit_compile=jit_compile)
    np.testing.assert_allclose(compiled(noise), prior.sample(noise), atol=2e-5)


def test_unknown_name_raises():
    with pytest.raises(ValueError, match="uniform, gaussian, ball, sphere"):
        priors.get("cauchy", 3)


@pytest.mark.parametrize("name", priors.NAMES)
def test_mean_squared_distance_is_that_of_samples(name):
    prior = priors.get(name, 5)
    x, y = np.random.default_rng(0).uniform(size=(2, 20_000, 5)).astype(np.float32)
    distances = np.sum((prior.sample(x) - prior.sample(y)) ** 2, axis=1)
    error = distances.std() / np.sqrt(len(distances))
    assert abs(distances.mean() - prior.mean_squared_distance) < 4 * error
