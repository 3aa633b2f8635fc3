"""Tests of the comparison of two images by pixels."""

import numpy as np
import pytest
import sample_curation

from dim_tf.collection.curation import alignment, copies
from dim_tf.collection.curation.alignment import COPY_DISTANCE, ThumbnailCache

PHOTOS = sample_curation.photos(60)


def thumbnails(images):
    return np.stack([alignment.thumbnail(image) for image in images])


def aligned_copies(kind):
    rng = np.random.default_rng(1)
    return alignment.align(
        thumbnails(PHOTOS),
        thumbnails([copies.augmented_copy(image, kind, rng) for image in PHOTOS]),
    )


@pytest.mark.parametrize("kind", copies.KINDS)
def test_copies_of_each_kind_are_near(kind):
    aligned = aligned_copies(kind)
    assert np.mean(aligned.distances <= COPY_DISTANCE) >= 0.98
    assert aligned.is_mirrored.mean() == (kind == "mirrored")
    assert aligned.is_cropped.mean() == pytest.approx(float(kind == "cropped"), abs=0.02)


def test_different_images_are_far():
    shown = thumbnails(PHOTOS)
    aligned = alignment.align(shown, np.roll(shown, 1, axis=0))
    assert aligned.distances.min() > COPY_DISTANCE


def test_the_order_of_a_pair_does_not_matter():
    rng = np.random.default_rng(2)
    cropped = thumbnails([copies.augmented_copy(image, "cropped", rng) for image in PHOTOS])
    shown = thumbnails(PHOTOS)
    there, back = alignment.align(shown, cropped), alignment.align(cropped, shown)
    np.testing.assert_allclose(there.distances, back.distances, atol=1e-4)
    assert there.is_in_first.all()
    assert not back.is_in_first.any()


def test_a_mirrored_crop_is_found_with_its_window():
    rng = np.random.default_rng(3)
    cropped = [copies.augmented_copy(image, "cropped", rng)[:, ::-1] for image in PHOTOS]
    aligned = alignment.align(thumbnails(PHOTOS), thumbnails(cropped))
    assert np.mean(aligned.distances <= COPY_DISTANCE) >= 0.98
    assert aligned.is_mirrored.all()
    np.testing.assert_allclose(np.median(aligned.sizes, axis=0), 43 / 48, atol=0.02)


def test_a_window_that_is_not_on_the_grid_is_approached():
    cropped = [image[5:46, 1:42] for image in PHOTOS]
    aligned = alignment.align(thumbnails(PHOTOS), thumbnails(cropped))
    assert np.median(aligned.distances) < 0.15
    np.testing.assert_allclose(np.median(aligned.sizes, axis=0), 41 / 48, atol=0.01)


def test_flat_images_are_compared_by_their_colour():
    flat = np.full((2, alignment.SIDE, alignment.SIDE, 3), 200, np.uint8)
    other = flat - np.array([[[[0]]], [[[30]]]], np.uint8)
    distances = alignment.align(flat, other).distances
    assert distances[0] == 0
    assert distances[1] > 1


def test_no_pairs_give_no_distances():
    nothing = np.zeros((0, alignment.SIDE, alignment.SIDE, 3), np.uint8)
    aligned = alignment.align(nothing, nothing)
    assert len(aligned) == 0
    assert aligned.is_cropped.shape == (0,)


def test_each_image_is_read_once():
    reads = []

    def read(row):
        reads.append(row)
        return PHOTOS[row]

    cache = ThumbnailCache(read)
    cache.align(np.array([0, 1, 2]), np.array([1, 2, 0]))
    assert cache.shape(1) == (48, 48)
    assert sorted(reads) == [0, 1, 2]
