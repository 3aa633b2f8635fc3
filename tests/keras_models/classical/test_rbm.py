import numpy as np
import tensorflow as tf

from keras_models.classical import rbm
from keras_models.classical.encoders import LinearEncoder


def patterns(count=400):
    """Two complementary patterns of 6 bits, each bit flipped with probability 0.05."""
    rng = np.random.default_rng(0)
    which = rng.integers(2, size=(count, 1))
    pattern = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])[which[:, 0]]
    return np.abs(pattern - (rng.random((count, 6)) < 0.05)).astype(np.float32)


def test_images_become_likely_and_hidden_units_tell_their_patterns():
    v = patterns()
    fitted = rbm.fit(v, 4, passes=200, rate=0.05, seed=1)
    first = rbm.fit(v, 4, passes=1, rate=1e-6, seed=1)
    assert fitted.pseudo_likelihood > first.pseudo_likelihood + 1
    both = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    one, other = 1 / (1 + np.exp(-(both @ fitted.weights + fitted.bias)))
    assert np.abs(one - other).max() > 0.8


def test_it_is_a_function_of_the_seed():
    v = patterns(100)
    one, again, other = (rbm.fit(v, 3, passes=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.weights, again.weights)
    assert not np.allclose(one.weights, other.weights)


def test_the_encoder_gives_the_hidden_units_probabilities():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (5, 2, 2, 3)).astype(np.float32)
    weights, bias = rng.normal(size=(12, 4)), rng.normal(size=4)
    encoder = LinearEncoder((2, 2, 3), 4, sigmoid=True)
    encoder.build()
    encoder.assign(weights / 2, np.full(12, -1.0), bias)
    v = (images.reshape(5, 12) + 1) / 2
    expected = 1 / (1 + np.exp(-(v @ weights + bias)))
    np.testing.assert_allclose(encoder(tf.constant(images))["global"], expected, atol=1e-5)
