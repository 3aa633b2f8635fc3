"""Measures of attributes."""

import math
import warnings

import numpy as np
import pytest

from dim_tf.evaluation import attribute_metrics
from dim_tf.system.errors import RunError


def test_measures_of_one_attribute():
    labels = np.array([[1], [1], [0], [0], [0]])
    scores = np.array([[0.9], [0.3], [0.6], [0.2], [0.1]])
    values = attribute_metrics.by_attribute(scores, labels, ("a",))["a"]
    # Of 2x3 pairs of a positive and a negative one, 5 are in the right order.
    assert math.isclose(values["auc"], 5 / 6)
    assert math.isclose(values["accuracy"], 3 / 5)
    assert math.isclose(values["balanced_accuracy"], (1 / 2 + 2 / 3) / 2)
    assert math.isclose(values["majority"], 3 / 5)


def test_an_attribute_without_both_values_is_left_out_of_the_mean():
    labels = np.array([[1, 0], [0, 0]])
    scores = np.array([[0.9, 0.1], [0.1, 0.1]])
    table = attribute_metrics.by_attribute(scores, labels, ("a", "b"))
    assert math.isnan(table["b"]["auc"])
    assert attribute_metrics.means(table)["auc"] == 1.0
    assert attribute_metrics.means(table)["majority"] == 0.75


def test_intervals_are_of_the_attributes_of_the_means_and_warn_of_nothing():
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.array([[0.9, 0.1], [0.6, 0.1], [0.2, 0.8]])
    values = attribute_metrics.means(attribute_metrics.by_attribute(scores, labels, ("a", "b")))
    statistics = attribute_metrics.statistics([scores], labels)
    counts = np.array([[1, 1, 1], [0, 3, 0]], np.float32)  # the second has one label only
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resampled = {name: statistic(counts) for name, statistic in statistics.items()}
    for name, (all_images, one_label) in resampled.items():
        assert math.isclose(all_images, values[name], rel_tol=1e-6)
        assert math.isnan(one_label) == (name != "accuracy")


def test_attributes_that_are_all_constant_are_an_error():
    labels = np.array([[1, 0], [1, 0]])
    with pytest.raises(RunError, match="no attribute has both values in the test images"):
        attribute_metrics.by_attribute(0.5 * np.ones([2, 2]), labels, ("a", "b"))
