"""The step-indexed pipeline."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from sample_representations import LazyImages

from dim_tf.data import pipeline
from dim_tf.data.crops import CenterCrops
from dim_tf.data.splits import Split
from dim_tf.system.errors import InputError

SEED = tf.constant([1, 2], tf.int64)


def numbered(count):
    """Images of 8x8 pixels; all of an image's pixels are its number."""
    numbers = np.arange(count, dtype=np.uint8)
    return Split(np.broadcast_to(numbers[:, None, None, None], (count, 8, 8, 1)), numbers)


def batches(split, count, *, start=0, seed=0, augmentation="none", channels=1, size=4):
    dataset = pipeline.training_batches(split, size, channels, seed, start, augmentation)
    return [x.numpy() for x in itertools.islice(dataset, count)]


def numbers_of(batch):
    return np.round((batch[:, 0, 0, 0] + 1) / 2 * 255).astype(int)


def test_an_epoch_is_a_permutation_and_each_is_another():
    split = numbered(12)
    first, second = (
        np.concatenate([numbers_of(b) for b in batches(split, 3, start=start)]) for start in (0, 3)
    )
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)
    assert list(first) != list(range(12))


def test_a_batch_depends_on_its_step_alone():
    split = numbered(11)  # 11 images: each epoch leaves out 3
    straight = batches(split, 7, augmentation="natural")
    resumed = batches(split, 3, start=4, augmentation="natural")
    np.testing.assert_array_equal(straight[4:], resumed)


def test_seeds_differ():
    split = numbered(12)
    assert list(numbers_of(batches(split, 1)[0])) != list(numbers_of(batches(split, 1, seed=1)[0]))


def test_scale_and_channels():
    split = Split(np.array([[[[0]]], [[[255]]]], np.uint8), np.zeros(2))
    (batch,) = batches(split, 1, channels=3, size=2)
    assert batch.shape == (2, 1, 1, 3)
    assert sorted(batch[:, 0, 0, 0]) == [-1.0, 1.0]


def test_labels_come_beside_the_same_images():
    split = numbered(12)
    plain = batches(split, 3, augmentation="natural")
    dataset = pipeline.training_batches(split, 4, 1, 0, 0, "natural", with_labels=True)
    for images, batch in zip(plain, itertools.islice(dataset, 3), strict=True):
        np.testing.assert_array_equal(images, batch.images.numpy())
        np.testing.assert_array_equal(numbers_of(images), batch.labels.numpy())
        assert batch.indices is None


def test_rows_tell_which_images_they_are():
    """Of images without labels too."""
    split = Split(numbered(12).images, None)
    dataset = pipeline.training_batches(split, 4, 1, 0, 3, "none", with_indices=True)
    batch = next(iter(dataset))
    assert batch.labels is None
    pixels = np.round((batch.images.numpy() + 1) * 127.5)
    np.testing.assert_array_equal(pixels, split.images[batch.indices.numpy()])


def test_images_elsewhere_come_in_the_same_order():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, 8, 8, 3), np.uint8)
    inside = batches(Split(images, None), 7, augmentation="natural", channels=3)
    outside = batches(Split(LazyImages(images), None), 7, augmentation="natural", channels=3)
    np.testing.assert_array_equal(inside, outside)


def test_no_autotuning_thread_delays_the_end_of_a_run():
    dataset = pipeline.training_batches(numbered(12), 4, 1, 0, 0, "none")
    assert dataset.options().autotune.enabled is False


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="larger than the 3 training images"):
        batches(numbered(3), 1)


def test_crops_are_shifts_and_flips_are_flips():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (16, 16, 3), np.uint8)
    many = tf.constant(np.repeat(image[np.newaxis], 64, 0))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    shifts = {padded[y : y + 16, x : x + 16].tobytes(): (y, x) for y in range(5) for x in range(5)}
    cropped = pipeline.apply_augmentation(many, "document", SEED).numpy()
    seen = {shifts[crop.tobytes()] for crop in cropped}  # a KeyError: no shift at all
    assert len(seen) > 15

    both = pipeline.apply_augmentation(many, "natural", SEED).numpy()
    flips = [np.array_equal(b, c[:, ::-1]) for b, c in zip(both, cropped, strict=True)]
    assert all(f or np.array_equal(b, c) for f, b, c in zip(flips, both, cropped, strict=True))
    assert 16 < sum(flips) < 48

    flipped = pipeline.apply_augmentation(many, "natural", SEED, shifts=False).numpy()
    is_flipped = [np.array_equal(f, image[:, ::-1]) for f in flipped]
    assert all(a or np.array_equal(f, image) for a, f in zip(is_flipped, flipped, strict=True))
    assert 16 < sum(is_flipped) < 48


@pytest.mark.parametrize("augmentation", ["aerial", "microscopy"])
def test_images_without_an_upright_position_are_turned_and_mirrored(augmentation):
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    many = tf.constant(np.repeat(image[np.newaxis], 200, 0))
    turned = pipeline.apply_augmentation(many, augmentation, SEED, shifts=False).numpy()
    quarters = [np.rot90(image, k) for k in range(4)]
    symmetries = {x.tobytes() for x in (*quarters, *(x[:, ::-1] for x in quarters))}
    assert {x.tobytes() for x in turned} == symmetries
    wide = pipeline.apply_augmentation(many[:, :2], augmentation, SEED, shifts=False).numpy()
    mirrored = [image[:2], image[:2, ::-1], image[1::-1], image[1::-1, ::-1]]
    assert {x.tobytes() for x in wide} == {x.tobytes() for x in mirrored}


def test_augmented_pixels_stay_the_same():
    """Those of an earlier way, by padding, two gathers and a choice: no resumed run may change."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (16, 24, 16, 1), np.uint8))
    padded = tf.pad(images, [[0, 0], [3, 3], [2, 2], [0, 0]], mode="REFLECT")

    def corner(margin, purpose):
        return tf.random.stateless_uniform(
            [16, 1], SEED + [purpose, 0], maxval=2 * margin + 1, dtype=tf.int32
        )

    rows, columns = corner(3, 2) + tf.range(24), corner(2, 3) + tf.range(16)
    wanted = tf.gather(tf.gather(padded, rows, batch_dims=1), columns, axis=2, batch_dims=1)
    flip = tf.random.stateless_uniform([16, 1, 1, 1], SEED + [1, 0]) < 0.5
    wanted = tf.where(flip, wanted[:, :, ::-1], wanted)
    np.testing.assert_array_equal(pipeline.apply_augmentation(images, "natural", SEED), wanted)


def test_random_crops_are_windows_of_what_is_around():
    """Each pixel says its row and column; the windows go to the edges."""
    pixel_numbers = np.arange(12)[:, None] * 12 + np.arange(12)
    around = np.broadcast_to(pixel_numbers[None, ..., None], (4, 12, 12, 1)).astype(np.uint8)
    split = Split(CenterCrops(around, (8, 8)), None, uncropped=around)
    corners, flipped = set(), 0
    for batch in batches(split, 60, augmentation="natural"):
        for image in np.round((batch[..., 0] + 1) * 127.5).astype(int):
            flipped += image[0, 0] > image[0, -1]
            image = image[:, ::-1] if image[0, 0] > image[0, -1] else image
            top, left = divmod(image[0, 0], 12)
            np.testing.assert_array_equal(image, pixel_numbers[top : top + 8, left : left + 8])
            corners.add((top, left))
    assert len(corners) == 25
    assert 80 < flipped < 160
    (centre,) = batches(split, 1)
    assert np.round((centre[0, 0, 0, 0] + 1) * 127.5) == 26
