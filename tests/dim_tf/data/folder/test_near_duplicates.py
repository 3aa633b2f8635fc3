"""Near duplicates, against a comparison of all pairs."""

import numpy as np
import pytest

from dim_tf.data.folder import near_duplicates
from dim_tf.data.folder.near_duplicates import Thumbnails, join_near_duplicates
from dim_tf.data.folder.partition import Partition
from dim_tf.data.folder.perceptual_hash import THUMBNAIL_BYTES

DISTANCE = 0.25


def noisy_copies(originals, copies, rng):
    """Thumbnails and hashes, each of a random original with noise, which some chains of copies."""
    pixels = rng.integers(0, 256, (originals, THUMBNAIL_BYTES)).repeat(copies, axis=0)
    noise = rng.normal(0, rng.uniform(2, 20, (len(pixels), 1)), pixels.shape)
    hashes = rng.integers(0, 2**63, originals, dtype=np.uint64).repeat(copies)
    for index in range(len(hashes)):
        for bit in rng.choice(64, rng.integers(0, 7), replace=False):
            hashes[index] ^= np.uint64(1 << int(bit))
    return np.clip(pixels + noise, 0, 255).astype(np.uint8), hashes


def sets_of(pixels, hashes):
    partition = Partition(len(pixels))
    as_bytes = hashes.view(np.uint8).reshape(-1, 8)
    join_near_duplicates(partition, as_bytes, Thumbnails(pixels), DISTANCE)
    return np.unique(partition.labels, return_inverse=True)[1]


def sets_by_all_pairs(pixels, hashes):
    first, second = np.triu_indices(len(pixels), 1)
    near = np.bitwise_count(hashes[first] ^ hashes[second]) <= near_duplicates.MAX_DIFFERENT_BITS
    first, second = first[near], second[near]
    alike = Thumbnails(pixels).distances(first, second) <= DISTANCE
    partition = Partition(len(pixels))
    partition.join(first[alike], second[alike])
    return np.unique(partition.labels, return_inverse=True)[1]


@pytest.mark.parametrize("few_pairs", [near_duplicates._FEW_PAIRS, 0])
def test_they_are_those_of_all_pairs(monkeypatch, few_pairs):
    """By the comparison of few pairs, and by the product for many."""
    monkeypatch.setattr(near_duplicates, "_FEW_PAIRS", few_pairs)
    monkeypatch.setattr(near_duplicates, "_ROWS", 3)
    monkeypatch.setattr(near_duplicates, "_BLOCK_PAIRS", 100)
    pixels, hashes = noisy_copies(30, 6, np.random.default_rng(0))
    hashes[:12] = hashes[0]  # two originals of one hash
    sets = sets_of(pixels, hashes)
    np.testing.assert_array_equal(sets, sets_by_all_pairs(pixels, hashes))
    assert 30 < len(set(sets)) < 150


def test_fewer_bits_may_differ_where_too_many_images_are_alike(monkeypatch):
    pixels, hashes = noisy_copies(30, 6, np.random.default_rng(0))
    of_seven = sets_of(pixels, hashes)
    monkeypatch.setattr(near_duplicates, "_MAX_CANDIDATES", 700)
    of_three = sets_of(pixels, hashes)
    with monkeypatch.context() as patch:
        patch.setattr(near_duplicates, "MAX_DIFFERENT_BITS", 3)
        np.testing.assert_array_equal(of_three, sets_by_all_pairs(pixels, hashes))
    monkeypatch.setattr(near_duplicates, "_MAX_FALSE", -1)
    of_none = sets_of(pixels, hashes)
    with monkeypatch.context() as patch:
        patch.setattr(near_duplicates, "MAX_DIFFERENT_BITS", 0)
        np.testing.assert_array_equal(of_none, sets_by_all_pairs(pixels, hashes))
    assert len(set(of_seven)) < len(set(of_three)) < len(set(of_none)) < len(pixels)


def test_equal_hashes_alone_join_nothing():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, THUMBNAIL_BYTES), np.uint8)
    assert len(set(sets_of(pixels, np.zeros(50, np.uint64)))) == 50
    assert len(set(sets_of(np.repeat(pixels[:1], 50, axis=0), np.zeros(50, np.uint64)))) == 1


def test_images_of_one_structure_in_other_colors_are_apart():
    gray = np.random.default_rng(0).integers(60, 200, (1, THUMBNAIL_BYTES // 3, 1))
    tints = np.array([[-40, 20, 20], [40, -20, -20]])[:, np.newaxis]
    pixels = (gray + tints).reshape(2, -1).astype(np.uint8)
    assert len(set(sets_of(pixels, np.zeros(2, np.uint64)))) == 2


def test_another_exposure_is_the_same_image():
    rng = np.random.default_rng(0)
    pixels = rng.integers(100, 150, (2, THUMBNAIL_BYTES), np.uint8)
    darker = np.rint(pixels[:1] * 0.5 - 20).astype(np.uint8)
    thumbnails = Thumbnails(np.concatenate([pixels, pixels + 20, darker]))
    first, second = np.array([0, 0, 0, 1]), np.array([1, 2, 4, 1])
    unrelated, brighter, dark, same = thumbnails.distances(first, second)
    assert unrelated == pytest.approx(2**0.5, abs=0.1)
    assert (brighter, same) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert dark < 0.06  # rounded to half as many levels
    correlation = np.corrcoef(pixels.astype(float))[0, 1]
    assert unrelated == pytest.approx(np.sqrt(2 - 2 * correlation), abs=1e-4)


def test_distances_of_pairs_and_of_all_are_those_of_standardised_thumbnails():
    rng = np.random.default_rng(0)
    pixels = np.concatenate(
        [
            rng.integers(0, 256, (20, THUMBNAIL_BYTES)),
            rng.integers(90, 96, (5, THUMBNAIL_BYTES)),
            rng.integers(200, 203, (3, THUMBNAIL_BYTES)),  # flat
        ]
    ).astype(np.uint8)
    values = pixels.astype(np.float64)
    contrast, mean = values.std(axis=1, keepdims=True), values.mean(axis=1, keepdims=True)
    flat = contrast < near_duplicates._MIN_CONTRAST
    standardised = (values - np.where(flat, 128, mean)) / np.where(flat, 2, contrast)
    expected = np.sqrt(np.square(standardised[:, np.newaxis] - standardised).mean(axis=2))
    thumbnails, every = Thumbnails(pixels), np.arange(28)
    assert flat.sum() == 8
    np.testing.assert_allclose(thumbnails.all_distances(every, every), expected, atol=1e-6)
    first, second = np.triu_indices(28)
    np.testing.assert_allclose(
        thumbnails.distances(first, second), expected[first, second], atol=1e-5
    )
    for distance in (0.5, 1.4, 20.0):
        near = expected[first, second] <= distance
        assert thumbnails.may_be_within(first, second, distance)[near].all()


def test_images_without_contrast_are_compared_by_their_brightness():
    rng = np.random.default_rng(0)
    levels = np.array([0, 1, 255], np.uint8)[:, np.newaxis].repeat(THUMBNAIL_BYTES, axis=1)
    structured = rng.integers(0, 256, (1, THUMBNAIL_BYTES), np.uint8)
    thumbnails = Thumbnails(np.concatenate([levels, structured]))
    black, white, other = thumbnails.distances(np.array([0, 0, 0]), np.array([1, 2, 3]))
    assert black == pytest.approx(0.5)
    assert white > 100
    assert other > 30


def test_what_is_near_is_stricter_where_all_images_are_alike():
    rng = np.random.default_rng(0)
    page = rng.integers(0, 256, THUMBNAIL_BYTES)
    pages = np.clip(page + rng.normal(0, 25, (200, THUMBNAIL_BYTES)), 0, 255).astype(np.uint8)
    photographs = rng.integers(0, 256, (200, THUMBNAIL_BYTES), np.uint8)
    assert Thumbnails(photographs).typical_distance() == 1.0
    assert Thumbnails(pages).typical_distance() == pytest.approx(0.75**3)
    assert Thumbnails(pages[:1]).typical_distance() == 1.0


def test_no_images():
    assert len(sets_of(np.zeros((0, THUMBNAIL_BYTES), np.uint8), np.zeros(0, np.uint64))) == 0
