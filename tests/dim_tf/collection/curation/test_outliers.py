"""Tests of outliers and of the tail that they are measured by."""

import numpy as np
import pytest
import sample_curation

from dim_tf.collection.curation.outliers import KINDS, find_outliers
from dim_tf.collection.curation.tail import benjamini_hochberg, fit_tail

COUNT = 1500


def collection(seed=0):
    """Images of ten kinds, float32 [COUNT, 24]."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(10, 24)) * 1.5 + 2
    return (centers[rng.integers(0, 10, COUNT)] + rng.normal(size=(COUNT, 24))).astype(np.float32)


def find(features, groups=None, **options):
    groups = np.full(len(features), -1) if groups is None else groups
    redundant = groups >= 0
    redundant[np.unique(groups, return_index=True)[1]] = False
    defaults = {"k": 10, "false_rate": 0.05}
    neighbours = sample_curation.neighbours_of(features, k=20)
    return find_outliers(features, neighbours, groups, redundant, **{**defaults, **options})


def far_images(count, seed=1):
    """Each in a direction of its own, away from all kinds."""
    return (np.random.default_rng(seed).normal(size=(count, 24)) * 4 - 1).astype(np.float32)


def test_images_that_are_alone_are_outliers():
    features = np.concatenate([collection(), far_images(15)])
    outliers = find(features)
    assert outliers.is_outlier[COUNT:].mean() >= 0.8
    assert outliers.is_outlier[:COUNT].sum() <= 3
    assert outliers.expected_false < 2
    by_kind = [
        tail.survival(column)
        for tail, column in zip(outliers.tails, outliers.distances.T, strict=True)
    ]
    np.testing.assert_allclose(outliers.p_values, np.minimum(3 * np.min(by_kind, axis=0), 1))


def test_a_small_group_that_is_far_is_rare():
    group = far_images(1) + np.random.default_rng(2).normal(size=(25, 24)) * 0.1
    features = np.concatenate([collection(), group.astype(np.float32)])
    outliers = find(features)
    assert outliers.is_outlier[COUNT:].all()
    assert not (outliers.kinds[COUNT:] == KINDS.index("isolated")).any()
    rare = outliers.tails[1].survival(outliers.distances[:, 1])
    assert rare[COUNT:].max() < 0.01
    alone = outliers.tails[0].survival(outliers.distances[:, 0])  # by the nearest they pass
    assert alone[COUNT:].min() > 0.05


def test_a_combination_that_never_occurs_is_unusual_though_it_is_near():
    # Two numbers that always agree; of the outliers they differ, by less than each varies.
    rng = np.random.default_rng(0)
    features = collection()
    features[:, 1] = features[:, 0] + rng.normal(size=COUNT) * 0.02
    odd = features[:20].copy()
    odd[:, 1] += 1.5
    outliers = find(np.concatenate([features, odd]))
    assert outliers.is_outlier[COUNT:].mean() >= 0.9
    assert (outliers.kinds[COUNT:] == KINDS.index("unusual")).all()
    assert outliers.is_outlier[:COUNT].sum() <= 4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_collection_of_its_own_kind_has_hardly_any(seed):
    outliers = find(collection(seed))
    assert outliers.is_outlier.sum() <= 3
    assert outliers.p_values.min() > 1e-7


def test_copies_of_an_outlier_do_not_hide_it():
    features = np.concatenate([collection(), np.repeat(far_images(8), 12, axis=0)])
    groups = np.full(len(features), -1)
    groups[COUNT:] = np.repeat(np.arange(8), 12)
    outliers = find(features, groups)
    assert outliers.is_outlier[COUNT:].mean() >= 0.7
    assert outliers.distances[COUNT:, 0].min() > np.quantile(outliers.distances[:COUNT, 0], 0.9)
    assert find(features).distances[COUNT:, 0].max() < 1e-4


def test_few_images_have_distances_and_no_outliers():
    outliers = find(collection()[:100])
    assert not outliers.is_measured
    assert not outliers.is_outlier.any()
    assert (outliers.p_values == 1).all()
    assert (outliers.distances[:, 0] > 0).all()


def test_equal_images_have_no_outliers():
    assert not find(np.ones((300, 4), np.float32)).is_outlier.any()


@pytest.mark.parametrize(
    ("name", "largest"), [("exponential", 1.5), ("normal", 2.5), ("gumbel", 2)]
)
def test_the_tail_gives_the_probabilities_of_the_distribution_or_larger(name, largest):
    values = getattr(np.random.default_rng(0), name)(size=20_000)
    fresh = getattr(np.random.default_rng(1), name)(size=1_000_000)
    tail = fit_tail(values)
    for quantile in (0.9, 0.99, 0.999, 0.9999):
        at = np.quantile(fresh, quantile)
        ratio = tail.survival(np.array([at]))[0] / (1 - quantile)
        assert 0.4 < ratio < largest
        assert tail.survival(np.array([tail.value_of(1 - quantile)]))[0] == pytest.approx(
            1 - quantile, rel=1e-3
        )
    assert tail.survival(np.array([-10.0]))[0] == 1


def test_a_heavy_tail_is_fitted_as_one():
    values = np.random.default_rng(0).pareto(4, 20_000)
    tail = fit_tail(values)
    assert tail.shape == pytest.approx(0.25, abs=0.1)
    at = np.quantile(np.random.default_rng(1).pareto(4, 1_000_000), 0.9999)
    assert 0.3e-4 < tail.survival(np.array([at]))[0] < 3e-4


def test_the_tail_does_not_bend_for_what_is_looked_for():
    values = np.random.default_rng(0).exponential(size=5000)
    values[:25] += 1000
    near, far = values.copy(), values.copy()
    far[:25] += 1e6
    assert fit_tail(near) == fit_tail(far)
    assert fit_tail(values).survival(values[:25]).max() < 1e-5
    assert fit_tail(values).survival(np.array([8.0]))[0] < 0.01


def test_benjamini_hochberg_cuts_at_the_last_value_below_its_line():
    assert benjamini_hochberg(np.array([0.9, 0.013, 0.024, 0.04]), 0.05) == 0.024
    assert benjamini_hochberg(np.array([0.02, 0.5]), 0.05) == 0.02
    assert benjamini_hochberg(np.array([0.2, 0.5]), 0.05) == 0
