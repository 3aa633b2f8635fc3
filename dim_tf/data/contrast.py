"""Which values a folder's 16-bit images use, and which images show almost nothing."""

import numpy as np

from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange

LEVELS = 8  # steps of 255 from the low to the high percentile; an image of fewer is flat
# Ends of the range, percentiles over the images: single ones, as with hot pixels, do not move them.
_ENDS = 1, 99
_WIDE = 2**15  # values; images that use as many have at least 128 levels in their upper 8 bits


def range_of(lows: np.ndarray, highs: np.ndarray) -> PixelRange:
    """The values that some 16-bit images use; all 16 bits where that is half of them or more.

    Args:
        lows: int [N], of each image a low percentile of its pixels.
        highs: int [N], a high one.
    """
    if not len(lows):
        return ALL_16_BITS
    low = int(np.percentile(lows, _ENDS[0], method="lower"))
    high = int(np.percentile(highs, _ENDS[1], method="higher"))
    return PixelRange(low, high) if 0 < high - low < _WIDE else ALL_16_BITS


def flat(bits: np.ndarray, lows: np.ndarray, highs: np.ndarray, chosen: PixelRange) -> np.ndarray:
    """Which images reach over fewer than `LEVELS` levels once they are decoded to 8 bits.

    Args:
        bits: [N], 8 or 16, of each image's pixels.
        lows: int [N], of each image a low percentile of its pixels, in its own values.
        highs: int [N], a high one.
        chosen: how those of 16 bits are decoded.

    Returns:
        bool [N].
    """

    def decoded(values):
        return np.where(bits == 16, chosen.to_bytes(values), values).astype(np.int64)

    return decoded(highs) - decoded(lows) < LEVELS
