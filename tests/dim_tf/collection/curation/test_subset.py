"""Tests of the choice of images that stand for a collection."""

import numpy as np
import pytest
import sample_curation

from dim_tf.collection.curation.subset import choose_subset, coverage
from dim_tf.collection.unit_rows import unit_rows
from dim_tf.system.errors import InputError


def clusters(sizes, spread=0.05, seed=0):
    """Images of kinds of some sizes, and their kinds."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(len(sizes), 16))
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    features = centers[kinds] + spread * rng.normal(size=(len(kinds), 16))
    return features.astype(np.float32), kinds


FEATURES, KINDS = clusters([300, 100, 50, 20, 10, 5, 5, 5])
DISTANCES = sample_curation.neighbours_of(FEATURES).mean_distances(4)
EVERY = np.ones(len(FEATURES), bool)


def choose(method, size=8, eligible=EVERY, **options):
    return choose_subset(FEATURES, DISTANCES, eligible, size, method, **options)


@pytest.mark.parametrize("method", ["coverage", "typical"])
def test_each_kind_is_chosen_once(method):
    subset = choose(method)
    assert sorted(KINDS[subset.rows]) == list(range(8))
    assert subset.coverage.largest < 0.5 * subset.random_coverage.largest
    assert subset.coverage.mean < subset.random_coverage.mean
    assert subset.typical_distance == pytest.approx(np.sqrt(2 * np.median(DISTANCES)))


def test_more_images_contain_those_of_fewer():
    np.testing.assert_array_equal(choose("coverage", 20).rows[:8], choose("coverage", 8).rows)


def test_typical_images_are_in_the_middle_of_their_kind():
    subset = choose("typical")
    for row in subset.rows:
        same = np.flatnonzero(KINDS[row] == KINDS)
        assert DISTANCES[row] == DISTANCES[same].min()


def test_the_largest_kinds_come_first_by_typicality():
    assert KINDS[choose("typical").rows[:3]].tolist() == [0, 1, 2]


def test_images_that_are_not_eligible_are_neither_chosen_nor_covered():
    eligible = KINDS < 5
    subset = choose("coverage", 5, eligible)
    assert sorted(KINDS[subset.rows]) == [0, 1, 2, 3, 4]
    units = unit_rows(FEATURES[eligible])
    own = coverage(units, np.searchsorted(np.flatnonzero(eligible), subset.rows), 0.1)
    assert subset.coverage.largest == pytest.approx(own.largest)


def test_coverage_is_that_of_all_pairs():
    units = unit_rows(np.random.default_rng(2).normal(size=(100, 5)))
    chosen = np.array([3, 50, 70])
    nearest = np.linalg.norm(units[:, np.newaxis] - units[chosen], axis=2).min(axis=1)
    measured = coverage(units, chosen, 0.8)
    assert measured.largest == pytest.approx(nearest.max(), abs=1e-5)
    assert measured.mean == pytest.approx(nearest.mean(), abs=1e-5)
    assert measured.within == np.mean(nearest <= 0.8)


@pytest.mark.parametrize("method", ["coverage", "typical"])
def test_a_subset_as_large_as_the_collection_is_all_of_it(method):
    subset = choose(method, 10_000)
    assert sorted(subset.rows) == list(range(len(FEATURES)))
    assert subset.coverage.largest == 0


@pytest.mark.parametrize("method", ["coverage", "typical"])
def test_equal_images_are_chosen_once_each(method):
    equal = np.ones((50, 4), np.float32)
    subset = choose_subset(equal, np.zeros(50), np.ones(50, bool), 10, method)
    assert len(set(subset.rows.tolist())) == 10


def test_wrong_inputs_are_refused():
    with pytest.raises(InputError, match="expected one of coverage, typical"):
        choose("diverse")
    with pytest.raises(InputError, match="no image is left"):
        choose("coverage", 5, np.zeros(len(FEATURES), bool))
