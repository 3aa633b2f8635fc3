"""The same head on other features, and from fewer labels."""

import itertools

import numpy as np
import pytest

from dim_tf.finetuning import comparison, head, quality
from dim_tf.finetuning.comparison import FeaturePair

NAMES = ("cat", "dog", "owl")


def labels_of(count, seed):
    return np.random.default_rng(seed).integers(0, 3, count)


def features_of(labels, noise):
    rng = np.random.default_rng(7)
    noisy = np.eye(3, 6)[labels] + rng.normal(0, noise, (len(labels), 6))
    return noisy.astype(np.float32)


TRAIN, TEST = labels_of(120, 0), labels_of(300, 1)
GOOD = FeaturePair(features_of(TRAIN, 0.4), features_of(TEST, 0.4))
BAD = FeaturePair(features_of(TRAIN, 9), features_of(TEST, 9))


def test_worse_features_show_a_gain_and_the_same_ones_none():
    trained, _ = head.fit(GOOD.train, TRAIN, NAMES)
    correct = quality.correctness(trained.probabilities(GOOD.test), TEST)
    same, random = comparison.compare(
        correct, {"start_weights": GOOD, "random_weights": BAD}, TRAIN, TEST, NAMES, groups=None
    )
    assert (same.name, same.gain, same.gain_interval) == ("start_weights", 0, (0, 0))
    assert same.accuracy == pytest.approx(correct.mean())
    assert random.accuracy < 0.5
    assert random.gain_interval[0] > 0.2
    assert random.interval[0] < random.accuracy < random.interval[1]


def test_test_images_of_a_group_are_drawn_together():
    """The interval of ten times each image is that of single images if the copies are a group."""
    trained, _ = head.fit(GOOD.train, TRAIN, NAMES)
    groups = np.repeat(np.arange(len(TEST)), 10)
    good, bad = (FeaturePair(x.train, np.repeat(x.test, 10, axis=0)) for x in (GOOD, BAD))
    correct = quality.correctness(trained.probabilities(GOOD.test), TEST)
    (alone,) = comparison.compare(correct, {"a": BAD}, TRAIN, TEST, NAMES, groups=None)
    (together,) = comparison.compare(
        np.repeat(correct, 10), {"a": bad}, TRAIN, np.repeat(TEST, 10), NAMES, groups=groups
    )
    assert together.gain_interval == pytest.approx(alone.gain_interval, abs=1e-6)
    assert np.ptp(together.interval) == pytest.approx(np.ptp(alone.interval), rel=0.1)
    curves = [
        comparison.labels_curve(features, TRAIN, labels, NAMES, counts=(), groups=of_images)
        for features, labels, of_images in (
            (GOOD, TEST, None),
            (good, np.repeat(TEST, 10), groups),
        )
    ]
    assert curves[1][0].interval == pytest.approx(curves[0][0].interval, abs=1e-6)


def test_sets_of_labels_are_nested_and_of_equal_classes():
    labels = np.repeat([0, 1, 2], [10, 40, 3])
    sets = list(comparison.nested_subsets(labels, (1, 2, 5, 20), seed=0))
    assert [count for count, _ in sets] == [1, 2, 5, 20, 40]
    for (_, small), (_, large) in itertools.pairwise(sets):
        assert set(small) < set(large)
    for count, indices in sets:
        counts = np.bincount(labels[indices])
        np.testing.assert_array_equal(counts, np.minimum(count, [10, 40, 3]))
    assert len(sets[-1][1]) == len(labels)
    other = dict(comparison.nested_subsets(labels, (5,), seed=1))
    assert set(other[5]) != set(dict(sets)[5])


def test_of_attributes_a_count_is_of_images():
    labels = np.zeros((30, 2), np.int64)
    sets = dict(comparison.nested_subsets(labels, (5, 10), seed=0))
    assert {count: len(indices) for count, indices in sets.items()} == {5: 5, 10: 10, 30: 30}


def test_more_labels_help_and_all_of_them_are_trained_on_once():
    points = comparison.labels_curve(GOOD, TRAIN, TEST, NAMES, groups=None, counts=(1, 10), draws=2)
    largest = np.bincount(TRAIN).max()
    assert [p.labels for p in points] == [1, 10, largest]
    assert [p.images for p in points] == [3, 30, 120]
    assert [p.draws for p in points] == [2, 2, 1]
    assert points[0].accuracy < points[-1].accuracy
    for point in points:
        assert point.lowest <= point.accuracy <= point.highest
        assert point.interval[0] < point.accuracy < point.interval[1]
    assert points[-1].lowest == points[-1].highest


def test_of_attributes_numbers_that_lack_a_value_are_left_out():
    attributes, test_attributes = (np.stack([x == 0, x == 1], axis=1) * 1 for x in (TRAIN, TEST))
    points = comparison.labels_curve(
        GOOD, attributes, test_attributes, ("a", "b"), groups=None, counts=(1, 60), draws=2
    )
    assert [p.labels for p in points] == [60, 120]
