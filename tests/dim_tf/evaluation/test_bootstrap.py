"""Bootstrap intervals against theory and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from dim_tf.evaluation import attribute_metrics, bootstrap


def test_the_interval_of_a_proportion_is_the_normal_one():
    hits = np.arange(2000) % 5 > 0  # 0.8
    low, high = bootstrap.mean_interval(hits, None)
    half = 1.96 * (0.8 * 0.2 / 2000) ** 0.5
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.2 * half)
    assert bootstrap.mean_interval(hits, None) == (low, high)


def test_copies_of_images_in_groups_tell_no_more_than_the_images():
    """The same draws of groups as of single images, so the same interval to the last digit."""
    hits = np.random.default_rng(0).random(40) < 0.7
    copies, groups = np.repeat(hits, 10), np.repeat(np.arange(40), 10)
    low, high = bootstrap.mean_interval(hits, None)
    assert bootstrap.mean_interval(copies, groups) == pytest.approx((low, high), abs=1e-7)
    too_narrow = np.ptp(bootstrap.mean_interval(copies, None))
    assert np.ptp([low, high]) == pytest.approx(10**0.5 * too_narrow, rel=0.15)
    scores, labels = attributes()
    alone = bootstrap.interval(200, attribute_metrics.statistics([scores], labels)["auc"], None)
    twice, of_images = (np.repeat(x, 2, axis=0) for x in (scores, labels))
    statistic = attribute_metrics.statistics([twice], of_images)["auc"]
    together = bootstrap.interval(400, statistic, np.repeat(np.arange(200), 2))
    assert together == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("metric", ["mean", "accuracy", "balanced_accuracy"])
def test_groups_of_other_sizes_by_plain_numpy(metric):
    """A resample of groups has as many images as these have, so its mean is over that number."""
    groups = np.array([7, 7, 7, 7, 2, 3, 3, 5, 5, 5, 5, 5])
    scores = np.random.default_rng(3).random((12, 1))
    labels = np.arange(12)[:, np.newaxis] % 2
    right = ((scores > 0.5) == labels)[:, 0]

    def of_images(images):
        if metric != "balanced_accuracy":
            return right[images].mean()
        return np.mean([right[images][labels[images, 0] == label].mean() for label in (0, 1)])

    rng, names = np.random.default_rng(0), np.unique(groups)
    expected = []
    for _ in range(bootstrap.RESAMPLES):
        drawn = names[rng.integers(0, 4, 4)]
        images = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        if set(labels[images, 0]) == {0, 1} or metric != "balanced_accuracy":
            expected.append(of_images(images))
    if metric == "mean":
        interval = bootstrap.mean_interval(right, groups)
    else:
        statistic = attribute_metrics.statistics([scores], labels)[metric]
        interval = bootstrap.interval(12, statistic, groups)
    assert interval == pytest.approx(np.percentile(expected, [2.5, 97.5]), abs=1e-6)


def test_groups_of_one_image_each_are_no_groups():
    hits = np.random.default_rng(0).random(40) < 0.7
    alone = bootstrap.mean_interval(hits, None)
    assert bootstrap.mean_interval(hits, np.arange(40)[::-1]) == alone
    assert bootstrap.group_count(40, np.arange(40)) is None
    assert bootstrap.group_count(40, None) is None
    assert bootstrap.group_count(3, np.array([9, -1, 9])) == 2


def attributes():
    """Scores with ties and without, of rare, balanced and frequent attributes."""
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 6)) < np.repeat([0.1, 0.5, 0.9], 2)).astype(np.int64)
    scores = rng.random((200, 6)) + 0.3 * labels
    scores[:, ::2] = np.round(scores[:, ::2], 1)
    return scores, labels


def plain_auc(scores, labels, counts):
    """The definition, pair by pair, in one resample."""
    higher, lower = scores[labels == 1], scores[labels == 0]
    won = np.greater.outer(higher, lower) + np.equal.outer(higher, lower) / 2
    of_higher, of_lower = counts[labels == 1].astype(float), counts[labels == 0].astype(float)
    return of_higher @ won @ of_lower / (of_higher.sum() * of_lower.sum())


@pytest.mark.parametrize("largest", [2, 300, 70_000])  # integers of 8, 16 and 32 bits
def test_the_aucs_of_resamples_are_those_of_all_pairs(largest):
    scores, labels = attributes()
    counts = np.random.default_rng(1).integers(0, largest + 1, (5, 200)).astype(np.float32)
    expected = [
        [plain_auc(score, label, of_resample) for of_resample in counts]
        for score, label in zip(scores.T, labels.T, strict=True)
    ]
    np.testing.assert_array_equal(bootstrap.aucs_of(scores, labels)(counts), expected)


def test_the_auc_of_a_resample_is_that_of_repeated_images():
    scores, labels = attributes()
    counts = np.random.default_rng(1).integers(0, 3, (5, 200))
    values = bootstrap.aucs_of(scores, labels)(counts.astype(np.float32))
    for value, score, label in zip(values, scores.T, labels.T, strict=True):
        repeated = [(np.repeat(label, c), np.repeat(score, c)) for c in counts]
        np.testing.assert_allclose(value, [metrics.roc_auc_score(*pair) for pair in repeated])


def test_a_resample_of_one_label_has_no_auc():
    counts = np.array([[2, 0, 0], [1, 1, 1]], np.float32)
    auc = bootstrap.aucs_of(np.array([[0.2], [0.1], [0.3]]), np.array([[1], [0], [0]]))
    np.testing.assert_array_equal(auc(counts), [[np.nan, 0.5]])


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
        low, high = bootstrap.interval(300, statistics[name], None)
        assert low < np.mean([table[name] for table in tables]) < high
        assert high - low < 0.1
    assert set(statistics) < set(attribute_metrics.METRICS)
