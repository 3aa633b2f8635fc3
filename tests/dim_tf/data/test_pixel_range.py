"""Which values of 16-bit images become black and white."""

import doctest

import numpy as np
import pytest

from dim_tf.data import pixel_range
from dim_tf.data.pixel_range import PixelRange
from dim_tf.system.errors import InputError


def test_8_bits_stored_as_16_are_unchanged():
    pixels = np.arange(256, dtype=np.uint16)
    np.testing.assert_array_equal(PixelRange().to_uint8(257 * pixels), pixels)


@pytest.mark.parametrize(("low", "high"), [(0, 1023), (100, 101), (7, 4095), (65534, 65535)])
def test_a_narrow_range_uses_all_of_8_bits_and_keeps_their_order(low, high):
    pixels = np.arange(2**16, dtype=np.uint16)
    decoded = PixelRange(low, high).to_uint8(pixels).astype(int)
    assert (decoded[: low + 1] == 0).all()
    assert (decoded[high:] == 255).all()
    assert (np.diff(decoded) >= 0).all()
    assert len(np.unique(decoded)) == min(high - low + 1, 256)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("auto", None), ("dtype", PixelRange()), ("0,4095", PixelRange(0, 4095))],
)
def test_a_flag_names_a_range(text, expected):
    assert pixel_range.parse(text) == expected


@pytest.mark.parametrize("text", ["", "8bit", "5", "4095,0", "7,7", "0,65536", "-1,9", "0,9,9"])
def test_another_text_is_refused_with_what_is_expected(text):
    with pytest.raises(InputError, match=r"--pixel_range=.*expected"):
        pixel_range.parse(text)


def test_its_examples():
    assert doctest.testmod(pixel_range).failed == 0
