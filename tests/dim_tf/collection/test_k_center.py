"""k-center greedy against all distances."""

import numpy as np
import pytest

from dim_tf.collection.k_center import k_center_greedy


def test_each_point_is_the_farthest_from_those_before():
    points = np.random.default_rng(1).normal(size=(200, 6)).astype(np.float32)
    centers = k_center_greedy(points, 20, first=7)
    distances = np.linalg.norm(points[:, np.newaxis] - points, axis=2)
    assert centers.rows[0] == 7
    assert np.isinf(centers.distances[0])
    for number in range(1, 20):
        nearest = distances[:, centers.rows[:number]].min(axis=1)
        assert nearest[centers.rows[number]] == pytest.approx(nearest.max(), abs=1e-4)
        assert centers.distances[number] == pytest.approx(nearest.max(), abs=1e-4)
    assert centers.radius == pytest.approx(distances[:, centers.rows].min(axis=1).max(), abs=1e-4)


def test_equal_points_are_chosen_once_each():
    points = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    centers = k_center_greedy(points, 12, first=0)
    assert sorted(centers.rows) == list(range(12))
    assert sorted(centers.rows[:3] // 4) == [0, 1, 2]
    assert centers.distances[3:].max() < 1e-3
    assert centers.radius == 0
