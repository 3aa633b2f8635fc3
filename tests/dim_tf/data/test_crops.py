"""Windows of images."""

import numpy as np
import tensorflow as tf

from dim_tf.data.crops import CenterCrops, random_crops

# Each pixel says where it stands.
PIXEL_COORDINATES = np.stack(np.meshgrid(np.arange(9), np.arange(7), indexing="ij"), -1).astype(
    np.uint8
)
IMAGES = np.stack(
    [
        np.concatenate([PIXEL_COORDINATES, np.full([9, 7, 1], n % 256, np.uint8)], -1)
        for n in range(400)
    ]
)


def test_centre_crops_are_cut_when_asked_for():
    crops = CenterCrops(IMAGES, (5, 5))
    assert crops.shape == (400, 5, 5, 3)
    assert len(crops) == 400
    np.testing.assert_array_equal(crops[3:5], IMAGES[3:5, 2:7, 1:6])
    np.testing.assert_array_equal(crops[np.array([7, 0])], IMAGES[[7, 0], 2:7, 1:6])


def test_random_crops_are_whole_and_everywhere():
    windows = random_crops(tf.constant(IMAGES), (5, 5), tf.constant([1, 2])).numpy()
    assert windows.dtype == np.uint8
    top, left = windows[:, 0, 0, 0], windows[:, 0, 0, 1]
    for n, window in enumerate(windows):
        np.testing.assert_array_equal(window, IMAGES[n, top[n] : top[n] + 5, left[n] : left[n] + 5])
    # 15 positions, 400 / 15 windows at each: chi-squared of 14 degrees of freedom, 36 at p = 0.001.
    counts = np.histogram2d(top, left, bins=(range(6), range(4)))[0]
    assert ((counts - 400 / 15) ** 2).sum() / (400 / 15) < 36
    again = random_crops(tf.constant(IMAGES), (5, 5), tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(windows, again)
    other = random_crops(tf.constant(IMAGES), (5, 5), tf.constant([1, 3])).numpy()
    assert (windows != other).any()


def test_the_whole_image_is_a_window():
    square = IMAGES[:4, :7]
    windows = random_crops(tf.constant(square), (7, 7), tf.constant([0, 0]))
    np.testing.assert_array_equal(windows, square)
