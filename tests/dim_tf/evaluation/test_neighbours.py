"""Nearest neighbours in blocks: the same as plainly, ties included."""

import numpy as np
import pytest
import tensorflow as tf

from dim_tf.evaluation import neighbours
from dim_tf.evaluation.neighbours import (
    cosine_neighbours,
    l1_neighbours,
    plain_cosine_neighbours,
)


def features(count, size, seed):
    """As those after a ReLU: not negative, of different lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(0.1, 10, (count, 1))
    return np.maximum(lengths * rng.normal(size=(count, size)), 0).astype(np.float32)


def assert_same(arguments):
    similarities, indices = cosine_neighbours(*arguments)
    expected = plain_cosine_neighbours(*arguments)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(similarities, expected[0], atol=1e-6)
    assert (similarities.dtype, indices.dtype) == (np.float32, np.int32)


def test_the_plain_twin_by_the_definition():
    queries, candidates = features(7, 20, 0), features(11, 20, 1)
    similarities, indices = plain_cosine_neighbours(queries, candidates, 3)
    for q, query in enumerate(queries):
        cosines = [query @ c / np.linalg.norm(query) / np.linalg.norm(c) for c in candidates]
        assert list(indices[q]) == list(np.argsort(cosines)[::-1][:3])
        np.testing.assert_allclose(similarities[q], np.sort(cosines)[::-1][:3], atol=1e-6)


@pytest.mark.parametrize(("queries", "size", "k"), [(1, 33, 1), (7, 64, 20), (130, 300, 5)])
def test_neighbours_are_those_of_the_plain_twin(queries, size, k):
    assert_same((features(queries, size, 0), features(500, size, 1), k))


@pytest.mark.parametrize("queries", [1, 16, 100])
def test_equal_candidates_are_in_their_order(queries, monkeypatch):
    """Across blocks, too. OpenBLAS gives equal columns of one product different last bits."""
    monkeypatch.setattr(neighbours, "QUERIES", 32)
    monkeypatch.setattr(neighbours, "CANDIDATES", 97)
    candidates = features(300, 200, 1)
    copies = np.random.default_rng(2).permutation(300)[:160].reshape(20, 8)
    candidates[copies] = candidates[copies[:, :1]]
    candidates[copies[:, 1]] *= 2  # as near, exactly
    assert_same((features(queries, 200, 0), candidates, 24))


@pytest.mark.parametrize("groups", [3, 40, 300])
def test_candidates_of_the_querys_group_are_no_neighbours(groups, monkeypatch):
    """Of three groups, fewer than k candidates are left."""
    monkeypatch.setattr(neighbours, "QUERIES", 32)
    monkeypatch.setattr(neighbours, "CANDIDATES", 97)
    rng = np.random.default_rng(0)
    candidates = features(300, 20, 1)
    candidates[200:] = candidates[:100]
    numbers = rng.integers(0, groups, 300) if groups < 300 else np.arange(300)
    arguments = candidates[:50], candidates, 230, (numbers[:50], numbers)
    similarities, indices = cosine_neighbours(*arguments)
    expected = plain_cosine_neighbours(*arguments)
    is_left = np.isfinite(expected[0])
    assert is_left.all() == (groups > 3)
    assert (numbers[:50, np.newaxis] != numbers[indices])[is_left].all()
    np.testing.assert_array_equal(indices[is_left], expected[1][is_left])
    np.testing.assert_allclose(similarities, expected[0], atol=1e-6)


def test_as_many_neighbours_as_candidates_and_features_of_zeros(monkeypatch):
    monkeypatch.setattr(neighbours, "CANDIDATES", 4)
    queries, candidates = features(5, 8, 0), features(11, 8, 1)
    queries[0] = 0
    candidates[[3, 7]] = 0
    assert_same((queries, candidates, 11))


def test_a_graphics_card_would_compute_the_same(monkeypatch):
    """By TensorFlow's product, with all of float32's bits."""
    products = []
    matmul = tf.matmul

    def spy(*arguments, **keywords):
        products.append(tf.config.experimental.tensor_float_32_execution_enabled())
        return matmul(*arguments, **keywords)

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    monkeypatch.setattr(tf, "matmul", spy)
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    try:
        assert_same((features(9, 40, 0), features(60, 40, 1), 5))
        assert products == [False]
        assert tf.config.experimental.tensor_float_32_execution_enabled()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def test_neighbours_by_l1_distance(monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK_BYTES", 4 * 6 * 10)  # ten candidates at once
    queries, candidates = features(3, 6, 0), features(25, 6, 1)
    candidates[20] = candidates[4]
    indices = l1_neighbours(queries, candidates, 25)
    for query, nearest in zip(queries, indices, strict=True):
        distances = np.abs(candidates - query).sum(1)
        np.testing.assert_array_equal(nearest, np.argsort(distances, kind="stable"))
