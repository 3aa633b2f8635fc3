"""The values that become 0 and 1 per channel, for images whose values have no natural scale."""

from dataclasses import dataclass
from typing import Any

import numpy as np

# The same as in `folder.contrast`: hot pixels and single images do not move the ends.
_OF_AN_IMAGE = 0.1, 99.9
_OVER_IMAGES = 1, 99
MOST_IMAGES = 1000  # from which the range is computed


@dataclass(frozen=True)
class ChannelScaling:
    """A linear map of each channel to [0, 1]; values beyond its ends are clipped.

    Attributes:
        low: The value of each channel that becomes 0.
        high: The value of each channel that becomes 1, larger than `low`.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self):
        for name in ("low", "high"):  # lists, if they come from JSON
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))

    @classmethod
    def of_images(cls, images: Any) -> "ChannelScaling":
        """The range that images use.

        Args:
            images: `splits.Images` of any values; if there are more than `MOST_IMAGES`, that many,
                evenly spaced, are used.
        """
        count = min(len(images), MOST_IMAGES)
        indices = np.linspace(0, len(images) - 1, count).astype(np.int64)
        ends = []
        for index in indices:
            values = images[index : index + 1].reshape(-1, images.shape[-1])
            ends.append(np.percentile(values, _OF_AN_IMAGE, axis=0))
        lows, highs = np.swapaxes(ends, 0, 1)
        low = np.percentile(lows, _OVER_IMAGES[0], axis=0, method="lower").astype(np.float32)
        high = np.percentile(highs, _OVER_IMAGES[1], axis=0, method="higher").astype(np.float32)
        high = np.where(high > low, high, low + 1)  # of a constant channel
        return cls(tuple(low), tuple(high))

    def from_unit(self, images: np.ndarray) -> np.ndarray:
        """The values that become these images; they are the original ones if none was clipped.

        Args:
            images: float32 [..., C] in [0, 1].
        """
        return images / self.factor + self.offset

    def to_dict(self) -> dict[str, list[float]]:
        """The ends, for JSON; `ChannelScaling(**...)` restores them."""
        return {"low": list(self.low), "high": list(self.high)}

    @property
    def offset(self) -> np.ndarray:
        """float32 [C], to be subtracted first."""
        return np.array(self.low, np.float32)

    @property
    def factor(self) -> np.ndarray:
        """float32 [C], to be multiplied by afterwards.

        It is not a divisor: TensorFlow's graphs replace divisions by a constant, with other
        rounding.
        """
        return (1 / (np.array(self.high, np.float64) - np.array(self.low, np.float64))).astype(
            np.float32
        )

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Maps values to [0, 1]; `image_ops.scale_to_unit` does the same in a graph.

        Args:
            values: float32 [..., C].

        Returns:
            float32 [..., C].
        """
        return np.clip((values - self.offset) * self.factor, 0, 1)
