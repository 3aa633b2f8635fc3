"""The values that 16-bit images use, and images that show almost nothing."""

import numpy as np

from dim_tf.data.folder import contrast
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange


def test_a_few_hot_or_dead_images_do_not_move_the_range():
    lows, highs = np.full(1000, 100), np.full(1000, 4000)
    lows[:5], highs[:5] = 0, 60_000
    assert contrast.range_of(lows, highs) == PixelRange(100, 4000)


def test_half_of_the_range_or_none_of_it_is_no_reason_to_change_it():
    assert contrast.range_of(np.array([0]), np.array([2**15])) == ALL_16_BITS
    assert contrast.range_of(np.array([7]), np.array([7])) == ALL_16_BITS
    assert contrast.range_of(np.array([], int), np.array([], int)) == ALL_16_BITS
    assert contrast.range_of(np.array([0]), np.array([2**15 - 1])).high == 2**15 - 1


def test_what_is_flat_depends_on_the_range_for_16_bits_alone():
    bits = np.array([8, 8, 16, 16])
    lows, highs = np.array([100, 100, 100, 100]), np.array([107, 108, 107, 200])
    assert contrast.is_low_contrast(bits, lows, highs, ALL_16_BITS).tolist() == [
        True,
        False,
        True,
        True,
    ]
    narrow = contrast.is_low_contrast(bits, lows, highs, PixelRange(100, 200))
    assert narrow.tolist() == [True, False, False, False]
