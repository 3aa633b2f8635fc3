import numpy as np
import pytest
import tensorflow as tf

from keras_models.classical import som
from keras_models.classical.encoders import PrototypeEncoder


def clusters(count=300):
    """Points near four corners of a square."""
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
    return corners[rng.integers(4, size=count)] + 0.05 * rng.normal(size=(count, 2))


@pytest.fixture(scope="module")
def fitted():
    return som.fit(clusters(), 4, 4, passes=10, seed=1)


def test_prototypes_cover_the_inputs_in_the_order_of_the_grid(fitted):
    x = clusters()
    distances = np.linalg.norm(x[:, None] - fitted.prototypes, axis=2)
    assert fitted.quantization_error == pytest.approx(distances.min(1).mean(), rel=1e-6)
    assert fitted.quantization_error < 0.3 * np.linalg.norm(x - x.mean(0), axis=1).mean()
    grid = fitted.prototypes.reshape(4, 4, 2)
    neighbours = np.linalg.norm(np.diff(grid, axis=0), axis=2).mean()
    order = np.random.default_rng(0).permutation(16)
    shuffled = fitted.prototypes[order].reshape(4, 4, 2)
    assert neighbours < 0.6 * np.linalg.norm(np.diff(shuffled, axis=0), axis=2).mean()


def test_topographic_error_counts_inputs_whose_nearest_two_are_no_neighbours(fitted):
    x = clusters()
    nearest = np.argsort(((x[:, None] - fitted.prototypes) ** 2).sum(2), axis=1)[:, :2]
    apart = [max(abs(a // 4 - b // 4), abs(a % 4 - b % 4)) > 1 for a, b in nearest]
    assert fitted.topographic_error == pytest.approx(np.mean(apart), abs=1e-6)


def test_a_prototype_is_at_last_the_mean_of_many_inputs():
    """One prototype: m += α·(x - m). A last α of 0.17 would leave √(α / (2 - α)), 0.3."""
    x = np.random.default_rng(0).normal(size=(2000, 16))
    (prototype,) = som.fit(x, 1, 1, passes=1).prototypes
    assert np.sqrt(np.mean((prototype - x.mean(0)) ** 2)) < 0.18


def test_it_is_a_function_of_the_seed(fitted):
    again = som.fit(clusters(), 4, 4, passes=10, seed=1)
    np.testing.assert_array_equal(again.prototypes, fitted.prototypes)
    other = som.fit(clusters(), 4, 4, passes=10, seed=2)
    assert not np.allclose(other.prototypes, fitted.prototypes)


def test_the_encoder_gives_how_much_nearer_than_the_mean_each_prototype_is():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5, 2, 2, 3)).astype(np.float32)
    prototypes = rng.normal(size=(7, 12)).astype(np.float32)
    encoder = PrototypeEncoder((2, 2, 3), 7)
    encoder.build()
    encoder.assign(prototypes)
    distances = np.linalg.norm(images.reshape(5, 1, 12) - prototypes, axis=2)
    expected = np.maximum(0, distances.mean(1, keepdims=True) - distances)
    np.testing.assert_allclose(encoder(tf.constant(images))["global"], expected, atol=1e-5)
    assert 0 < (expected == 0).mean() < 1
