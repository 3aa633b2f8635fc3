"""Which values the 16-bit images of a folder use, and which images show almost nothing."""

import numpy as np

from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange

# Levels of 255 between an image's low and high percentile; with fewer, its contrast is low.
MIN_LEVELS = 8
# The ends of the range, as percentiles over the images, so that single images, such as those with
# hot pixels, do not move them.
_PERCENTILES = 1, 99
_WIDE = 2**15  # values; images that use this many have at least 128 levels in their upper 8 bits


def range_of(lows: np.ndarray, highs: np.ndarray) -> PixelRange:
    """The values that 16-bit images use; all 16 bits if they use at least half of them.

    Args:
        lows: int [N], a low percentile of each image's pixels.
        highs: int [N], a high percentile.
    """
    if not len(lows):
        return ALL_16_BITS
    low = int(np.percentile(lows, _PERCENTILES[0], method="lower"))
    high = int(np.percentile(highs, _PERCENTILES[1], method="higher"))
    return PixelRange(low, high) if 0 < high - low < _WIDE else ALL_16_BITS


def is_low_contrast(
    bits: np.ndarray, lows: np.ndarray, highs: np.ndarray, pixel_range: PixelRange
) -> np.ndarray:
    """Which images span fewer than `MIN_LEVELS` levels once they are decoded to 8 bits.

    Args:
        bits: [N], 8 or 16, per channel.
        lows: int [N], a low percentile of each image's pixels, in the image's own values.
        highs: int [N], a high percentile.
        pixel_range: How 16-bit images are decoded.

    Returns:
        bool [N].
    """

    def to_8_bits(values):
        return np.where(bits == 16, pixel_range.to_uint8(values), values).astype(np.int64)

    return to_8_bits(highs) - to_8_bits(lows) < MIN_LEVELS
