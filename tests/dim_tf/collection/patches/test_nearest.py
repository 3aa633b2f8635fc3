"""The nearest patches are those of all differences, also where products round."""

import numpy as np
import pytest

from dim_tf.collection.patches import nearest as module
from dim_tf.collection.patches.nearest import nearest


def plain(queries, bank, k):
    differences = queries[:, np.newaxis].astype(np.float64) - bank
    distances = np.sqrt((differences**2).sum(axis=2))
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, axis=1), rows


@pytest.mark.parametrize("k", [1, 3, 40])
def test_they_equal_those_of_all_differences_in_any_blocks(monkeypatch, k):
    rng = np.random.default_rng(0)
    queries, bank = rng.normal(size=(50, 7)).astype("f4"), rng.normal(size=(40, 7)).astype("f4")
    distances, rows = plain(queries, bank, k)
    for numbers in (2**24, 1000, 1):
        monkeypatch.setattr(module, "BLOCK_NUMBERS", numbers)
        actual, actual_rows = nearest(queries, bank, k)
        np.testing.assert_allclose(actual, distances, rtol=1e-5)
        np.testing.assert_array_equal(actual_rows, rows)


def test_a_small_distance_between_long_features_is_kept():
    rng = np.random.default_rng(0)
    bank = (rng.normal(size=(30, 16)) + 1000).astype("f4")
    queries = bank + rng.normal(scale=1e-2, size=bank.shape).astype("f4")
    distances, rows = nearest(queries, bank, 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(30))
    expected = np.linalg.norm(queries.astype("f8") - bank, axis=1)
    np.testing.assert_allclose(distances[:, 0], expected, rtol=1e-2)


def test_patches_that_products_cannot_tell_apart_are_told_apart():
    rng = np.random.default_rng(0)
    centers = np.repeat(rng.normal(size=(30, 16)) * 1000, 4, axis=0)
    bank = (centers + rng.normal(scale=1e-2, size=(120, 16))).astype("f4")
    queries = bank + rng.normal(scale=1e-4, size=bank.shape).astype("f4")
    np.testing.assert_array_equal(nearest(queries, bank, 1)[1][:, 0], np.arange(120))


def test_of_equal_patches_the_first_is_nearest():
    bank = np.repeat(np.eye(3, dtype="f4"), 3, axis=0)
    assert nearest(np.eye(3, dtype="f4"), bank, 2)[1].tolist() == [[0, 1], [3, 4], [6, 7]]


def test_more_neighbours_than_patches_are_refused():
    with pytest.raises(ValueError, match="3 neighbours of a bank of 2"):
        nearest(np.zeros((1, 4)), np.zeros((2, 4)), 3)
