"""Raw patches are the pixels of the cells."""

import numpy as np

from dim_tf.collection.patches.pixel_patches import pixel_patches


def test_cells_are_cut_out_of_the_image():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)
    patches = pixel_patches(images, (4, 2))
    assert patches.shape == (3, 4, 2, 2 * 3 * 3)
    assert patches.dtype == np.float16
    np.testing.assert_allclose(patches[1, 2, 1], images[1, 4:6, 3:6].reshape(-1) / 255, atol=1e-3)


def test_cells_of_a_side_that_is_not_divisible_reach_both_borders():
    images = np.arange(7, dtype=np.uint8)[np.newaxis, :, np.newaxis, np.newaxis] * 36
    patches = np.rint(pixel_patches(images, (3, 1))[0, :, 0] * 255 / 36)
    assert patches.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
