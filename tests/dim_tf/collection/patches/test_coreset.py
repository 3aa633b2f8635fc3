"""A coreset leaves no patch far away, and is the same for a seed."""

import itertools

import numpy as np

from dim_tf.collection.patches.coreset import choose_coreset


def distances_to(features, rows):
    return np.linalg.norm(features[:, np.newaxis] - features[rows], axis=2).min(axis=1)


def test_each_patch_is_the_farthest_from_those_before():
    features = np.random.default_rng(0).normal(size=(60, 5)).astype("f4")
    rows, radius = choose_coreset(features, 12, projected=5)
    for n in range(1, 12):
        distances = distances_to(features, rows[:n])
        assert distances[rows[n]] >= distances.max() - 1e-4
    assert np.isclose(radius, distances_to(features, rows).max(), rtol=1e-3)


def test_the_radius_is_at_most_twice_the_best():
    features = np.random.default_rng(1).normal(size=(12, 2)).astype("f4")
    best = min(
        distances_to(features, list(rows)).max() for rows in itertools.combinations(range(12), 3)
    )
    for seed in range(5):
        assert best <= choose_coreset(features, 3, seed=seed).radius * 1.001 <= 2 * best * 1.001


def test_a_rare_patch_is_chosen_that_a_random_subset_would_miss():
    features = np.random.default_rng(0).normal(scale=0.1, size=(500, 200)).astype("f4")
    features[123] += 3
    rows, radius = choose_coreset(features, 2)  # by a projection to 128 numbers
    assert 123 in rows
    assert 0.7 < radius / distances_to(features, rows).max() < 1.4


def test_seeds_decide_and_equal_patches_are_chosen_once():
    features = np.repeat(np.random.default_rng(0).normal(size=(4, 300)), 25, axis=0).astype("f4")
    rows, radius = choose_coreset(features, 50, seed=3)
    assert sorted(rows // 25) == [0, 1, 2, 3]
    assert radius < 0.1
    np.testing.assert_array_equal(rows, choose_coreset(features, 50, seed=3).rows)
    firsts = {int(choose_coreset(features, 1, seed=seed).rows[0]) for seed in range(5)}
    assert len(firsts) > 1
