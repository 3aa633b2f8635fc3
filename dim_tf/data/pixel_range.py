"""Which values of 16-bit images become black and white.

Cameras and microscopes store 8, 10 or 12 bits in 16-bit files: the upper 8 bits of such images are
almost all 0.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    import numpy as np

DEPTH = 2**16  # number of values of a 16-bit pixel
AUTO, DTYPE = "auto", "dtype"


@dataclass(frozen=True)
class PixelRange:
    """The values of a 16-bit image that become 0 and 255; 8-bit images are never changed.

    Attributes:
        low: The largest value that becomes 0.
        high: The smallest value that becomes 255; by default the largest of 16 bits.
    """

    low: int = 0
    high: int = DEPTH - 1

    def __post_init__(self):
        if not 0 <= self.low < self.high < DEPTH:
            raise InputError(
                f"--pixel_range={self.low},{self.high}: expected 0 <= LOW < HIGH <= {DEPTH - 1}"
            )

    def to_uint8(self, pixels: "np.ndarray") -> "np.ndarray":
        """Maps 16-bit pixels to 8 bits, linearly from `low` to `high`, rounded down.

        >>> import numpy as np
        >>> PixelRange(0, 1023).to_uint8(np.array([0, 4, 5, 512, 1023, 4095], np.uint16))
        array([  0,   0,   1, 127, 255, 255], dtype=uint8)

        Args:
            pixels: uint16 [...].

        Returns:
            uint8 [...].
        """
        import numpy as np  # not for --help, which parses a range

        inside = pixels.astype(np.int64).clip(self.low, self.high) - self.low
        return (inside * 255 // (self.high - self.low)).astype(np.uint8)


ALL_16_BITS = PixelRange()


def parse(text: str) -> PixelRange | None:
    """Parses the flag --pixel_range; None for "auto", which the images determine.

    Args:
        text: "auto", "dtype" (all 16 bits) or "LOW,HIGH".

    Raises:
        InputError: It is none of these.
    """
    if text == AUTO:
        return None
    if text == DTYPE:
        return ALL_16_BITS
    ends = re.fullmatch(r"(\d{1,5}),(\d{1,5})", text)
    if not ends:
        raise InputError(
            f"--pixel_range={text}: expected auto, dtype or LOW,HIGH, such as 0,4095 for images of "
            "12 bits"
        )
    return PixelRange(int(ends[1]), int(ends[2]))
