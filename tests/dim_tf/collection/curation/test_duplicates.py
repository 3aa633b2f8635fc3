"""Tests of the search for near duplicates."""

import dataclasses

import numpy as np
import pytest
import sample_curation

from dim_tf.collection.curation import copies, match_rates
from dim_tf.collection.curation.alignment import ThumbnailCache
from dim_tf.collection.curation.duplicates import find_duplicates
from dim_tf.collection.curation.match_rates import CopyFeatures, Rate, recall_by_kind
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.system.errors import InputError

ORIGINALS = 240
PLANTED = 24


def collection():
    """Images of which the last are copies of the first, of each kind in turn."""
    images = sample_curation.photos(ORIGINALS)
    rng = np.random.default_rng(5)
    for row in range(PLANTED):
        kind = copies.KINDS[row % len(copies.KINDS)]
        images.append(copies.augmented_copy(images[row], kind, rng))
    return images


IMAGES = collection()
EMBEDDED = sample_curation.embedded(IMAGES)
NEIGHBOURS = sample_curation.neighbours_of(EMBEDDED.features)
TRUTH = [(row, ORIGINALS + row) for row in range(PLANTED)]


def copy_features(rows=range(40, 80)):
    rng = np.random.default_rng(6)
    features = [
        sample_curation.features_of(
            [copies.augmented_copy(IMAGES[row], kind, rng) for kind in copies.KINDS]
        )
        for row in rows
    ]
    return CopyFeatures(np.array(rows), copies.KINDS, np.stack(features))


COPIES = copy_features()


def find(images=EMBEDDED, neighbours=NEIGHBOURS, with_pixels=True, with_copies=True, **options):
    defaults = {"recall": 0.98, "false_rate": 0.001, "max_candidates": 10_000}
    cache = ThumbnailCache(images.read_image) if with_pixels else None
    return find_duplicates(
        images, neighbours, cache, COPIES if with_copies else None, **{**defaults, **options}
    )


def pairs_of(duplicates):
    return list(zip(duplicates.pairs.first.tolist(), duplicates.pairs.second.tolist(), strict=True))


@pytest.fixture(scope="module")
def duplicates():
    return find()


def test_planted_copies_are_found_and_nothing_else(duplicates):
    found = pairs_of(duplicates)
    assert set(found) <= set(TRUTH)
    assert len(found) >= PLANTED - 1


def test_each_pair_says_how_the_copy_differs(duplicates):
    kinds = [copies.KINDS[row % 4] for row in duplicates.pairs.first]
    assert duplicates.pairs.is_mirrored.tolist() == [kind == "mirrored" for kind in kinds]
    assert duplicates.pairs.is_cropped.tolist() == [kind == "cropped" for kind in kinds]


def test_the_image_with_most_pixels_is_kept(duplicates):
    # Resized and cropped copies are smaller; of equals the first row is kept.
    assert set(duplicates.keepers.tolist()) == set(duplicates.pairs.first.tolist())
    assert set(np.flatnonzero(duplicates.redundant)) == set(duplicates.pairs.second.tolist())


def test_a_larger_copy_is_kept_instead_of_its_original():
    images = sample_curation.photos(40)
    images.append(np.asarray(np.kron(images[3], np.ones((2, 2, 1), np.uint8))))
    images.append(images[3].copy())
    embedded = sample_curation.embedded(images)
    result = find(embedded, sample_curation.neighbours_of(embedded.features), with_copies=False)
    assert result.groups[[3, 40, 41]].tolist() == [0, 0, 0]
    assert result.keepers.tolist() == [40]
    assert np.flatnonzero(result.redundant).tolist() == [3, 41]


def test_stated_recall_is_that_of_other_planted_copies(duplicates):
    assert set(duplicates.recall) == set(copies.KINDS)
    stated = np.mean(list(duplicates.recall.values()))
    assert stated == pytest.approx(len(duplicates.pairs) / PLANTED, abs=0.08)


def test_stated_false_match_rates_are_those_of_the_collection(duplicates):
    rates = duplicates.pixel_rates
    assert rates.random.events == 0
    assert 0 < rates.random.upper < 0.0011
    assert rates.alike.value < 0.05
    # By similarity alone, from all pairs that are no copies.
    units = EMBEDDED.features / np.linalg.norm(EMBEDDED.features, axis=1, keepdims=True)
    every = units[:ORIGINALS] @ units[:ORIGINALS].T
    apart = every[np.triu_indices(ORIGINALS, 1)]
    true_rate = np.mean(apart >= duplicates.threshold)
    assert duplicates.random_rate.value == pytest.approx(true_rate, abs=1e-4)
    nearest = np.sort(every, axis=1)[:, -2]
    true_nearest = np.mean(nearest >= duplicates.threshold)
    assert duplicates.nearest_rate.value == pytest.approx(true_nearest, abs=0.05)


def test_without_pixels_the_threshold_keeps_the_false_match_rate():
    result = find(with_pixels=False, false_rate=0.001)
    found = pairs_of(result)
    assert len(set(found) & set(TRUTH)) >= PLANTED // 4  # the mirrored ones: equal features
    assert len(set(found) - set(TRUTH)) <= 2
    assert not result.is_confirmed
    assert np.isnan(result.pairs.distances).all()
    assert find(with_pixels=False, false_rate=0.1).threshold < result.threshold


def test_alike_features_of_different_images_are_refused_by_their_pixels():
    features = EMBEDDED.features.copy()
    features[100:120] = features[120:140]  # what a poor encoder does
    poor = dataclasses.replace(EMBEDDED, features=features)
    result = find(poor, sample_curation.neighbours_of(features))
    assert set(pairs_of(result)) <= set(TRUTH)
    assert result.candidates >= len(result.pairs) + 20
    assert result.expected_false <= result.most_false <= len(result.pairs)
    assert result.most_false > 0
    assert len(find(poor, sample_curation.neighbours_of(features), with_pixels=False).pairs) >= 20


def test_a_copy_counts_as_found_if_similar_listed_and_confirmed():
    lists = NeighbourLists(
        np.array([[0.9, 0.8], [0.9, 0.3]], np.float32), np.array([[1, 1], [0, 0]])
    )
    of_two = CopyFeatures(np.array([0, 1]), ("a", "b"), np.ones((2, 2, 4), np.float32))
    similarities = np.array([[0.85, 0.75], [0.75, 0.4]])  # 0.75 of row 0 is not on its list

    def recall(threshold, confirmed):
        return recall_by_kind(of_two, similarities, lists, threshold, confirmed)

    assert recall(0.0, None) == {"a": 1.0, "b": 0.5}
    assert recall(0.5, None) == {"a": 1.0, "b": 0.0}
    assert recall(0.0, np.array([[False, True], [True, True]])) == {"a": 0.5, "b": 0.5}


def test_too_many_candidates_raise_the_threshold(duplicates):
    result = find(max_candidates=15)
    assert result.is_limited
    assert result.candidates == 15
    assert result.threshold > duplicates.threshold
    assert np.mean(list(result.recall.values())) < 0.9


def test_chains_of_copies_are_one_group():
    images = sample_curation.photos(30)
    rng = np.random.default_rng(0)
    for _ in range(3):
        images.append(copies.augmented_copy(images[-1], "recompressed", rng))
    embedded = sample_curation.embedded(images)
    result = find(embedded, sample_curation.neighbours_of(embedded.features), with_copies=False)
    assert np.flatnonzero(result.groups == 0).tolist() == [29, 30, 31, 32]
    assert result.groups.max() == 0


def test_images_that_are_all_different_have_no_groups():
    images = sample_curation.photos(50, seed=9)
    embedded = sample_curation.embedded(images)
    result = find(embedded, sample_curation.neighbours_of(embedded.features), with_copies=False)
    assert len(result.pairs) == 0
    assert not result.redundant.any()


def test_a_rate_has_an_upper_limit():
    assert Rate(0, 3000).upper == pytest.approx(1e-3, rel=0.01)  # the rule of three
    assert Rate(0, 0).upper == 1.0
    assert Rate(10, 100).upper > 0.1


def test_copies_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"expected \[images, kinds, D\]"):
        CopyFeatures(np.arange(3), ("mirrored",), np.zeros((2, 1, 4), np.float32))


@pytest.mark.parametrize("few_rows", [0, 2**11])
def test_similarities_of_random_pairs_are_those_of_the_pairs(monkeypatch, few_rows):
    monkeypatch.setattr(match_rates, "_FEW_ROWS", few_rows)
    monkeypatch.setattr(match_rates, "BLOCK_BYTES", 8 * 6 * 100)
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(50, 6)) * np.arange(1, 51)[:, np.newaxis]).astype(np.float32)
    groups = np.full(50, -1)
    groups[[3, 4]] = 0
    actual = match_rates.random_similarities(features, groups, np.random.default_rng(0))
    first, second = np.random.default_rng(0).integers(0, 50, (2, 2500))
    apart = match_rates.are_apart(first, second, groups)
    first, second = features[first[apart]], features[second[apart]]
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    np.testing.assert_allclose(actual, np.sum(first * second, axis=1) / lengths, atol=1e-5)
