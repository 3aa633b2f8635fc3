"""A classifier on test images: what is counted, and how sure the fractions are."""

import numpy as np
import pytest
from sklearn import metrics

from dim_tf.finetuning import quality

NAMES = ("cat", "dog", "owl")
LABELS = np.array([0, 0, 0, 1, 1])
PROBABILITIES = np.array(
    [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]]
)


def test_classes():
    measured = quality.measure(PROBABILITIES, LABELS, NAMES, None)
    assert measured.images == 5
    assert measured.accuracy == pytest.approx(3 / 5)
    assert measured.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert measured.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 0))
    loss = metrics.log_loss(LABELS, PROBABILITIES, labels=[0, 1, 2])
    assert measured.negative_log_likelihood == pytest.approx(loss)
    cat, dog, owl = measured.labels
    assert (cat.images, cat.accuracy, cat.precision, cat.recall) == (3, 2 / 3, 1, 2 / 3)
    assert (dog.images, dog.accuracy, dog.precision) == (2, 1 / 2, 1 / 2)
    assert (owl.images, owl.accuracy, owl.interval, owl.recall) == (0, None, None, None)
    assert owl.precision == 0


def test_attributes():
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    probabilities = np.array([[0.9, 0.2], [0.4, 0.8], [0.3, 0.7], [0.6, 0.1]])
    measured = quality.measure(probabilities, labels, ("a", "b"), None)
    assert measured.accuracy == pytest.approx(6 / 8)
    assert measured.confusion == ()
    first, second = measured.labels
    assert (first.images, first.accuracy, first.precision, first.recall) == (2, 0.5, 0.5, 0.5)
    assert second.accuracy == second.recall == 1
    assert measured.balanced_accuracy == pytest.approx(0.75)
    loss = metrics.log_loss(labels.ravel(), probabilities.ravel())
    assert measured.negative_log_likelihood == pytest.approx(loss)
    assert measured.interval[0] <= measured.accuracy <= measured.interval[1]


def test_where_images_are_in_groups_intervals_are_of_groups():
    groups = np.array([1, 1, 1, 0, 0])
    alone, together = (quality.measure(PROBABILITIES, LABELS, NAMES, g) for g in (None, groups))
    assert alone.interval == quality.wilson_interval(3, 5)
    assert together.interval == pytest.approx((1 / 2, 2 / 3))  # of one group or of the other
    assert together.labels[0].interval == pytest.approx((2 / 3, 2 / 3))  # all are of one group
    assert [x.accuracy for x in together.labels] == [x.accuracy for x in alone.labels]
    single = quality.measure(PROBABILITIES, LABELS, NAMES, np.arange(5))
    assert single == alone


def test_wilsons_interval_by_its_formula():
    z, n, p = 1.959964, 20, 0.9
    center, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    wanted = np.array([center - half, center + half]) / (1 + z * z / n)
    np.testing.assert_allclose(quality.wilson_interval(18, 20), wanted, atol=1e-6)


def test_an_interval_of_all_right_answers_is_below_one():
    low, high = quality.wilson_interval(10, 10)
    assert low < 0.75
    assert high == pytest.approx(1)
