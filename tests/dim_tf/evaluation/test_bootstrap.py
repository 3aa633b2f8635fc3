"""Bootstrap intervals against theory and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from dim_tf.evaluation import attribute_metrics, bootstrap


def test_the_interval_of_a_proportion_is_the_normal_one():
    hits = np.arange(2000) % 5 > 0  # 0.8
    low, high = bootstrap.mean_interval(hits)
    half = 1.96 * (0.8 * 0.2 / 2000) ** 0.5
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.2 * half)
    assert bootstrap.mean_interval(hits) == (low, high)


def test_the_auc_of_resamples_is_that_of_repeated_images():
    """With ties."""
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 9, 40) / 9, rng.integers(0, 2, 40)
    counts = rng.integers(0, 3, (5, 40))
    expected = [metrics.roc_auc_score(np.repeat(labels, c), np.repeat(scores, c)) for c in counts]
    np.testing.assert_allclose(bootstrap.auc(scores, labels, counts.astype("f4")), expected)


def test_intervals_of_attributes_hold_the_means():
    """One attribute never varies and is left out of them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (300, 3))
    labels[:, 2] = 0
    predictions = [np.clip(labels * 0.3 + rng.random((300, 3)) * 0.7, 0, 1) for _ in range(2)]
    statistics = attribute_metrics.statistics(predictions, labels)
    tables = [
        attribute_metrics.means(attribute_metrics.by_attribute(p, labels, tuple("abc")))
        for p in predictions
    ]
    for name in ("auc", "balanced_accuracy"):
        low, high = bootstrap.interval(300, statistics[name])
        assert low < np.mean([table[name] for table in tables]) < high
        assert high - low < 0.1
    assert set(statistics) < set(attribute_metrics.METRICS)
