"""The height, width and channels that images get, and how images are fitted into them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

FITS = ("crop", "pad", "stretch")
ImageSize = int | tuple[int, int]  # pixels a side, or height and width


class Fitted(NamedTuple):
    """How one image is fitted, in pixels: whole numbers, or scalars of a graph.

    Attributes:
        window: Height and width of the centred part of the image that is used.
        resized: Height and width to which that part is resized, at most the frame's.
    """

    window: tuple[Any, Any]
    resized: tuple[Any, Any]


@dataclass(frozen=True)
class ImageFrame:
    """What an image becomes, the same in training and in serving.

    Attributes:
        height: H, in pixels.
        width: W, in pixels.
        channels: C.
        fit: "crop": the largest centred part with the frame's shape is resized. "pad": the whole
            image is resized to fit inside, centred, and the pixels of its edges are repeated
            outwards. "stretch": the whole image is resized, whatever its shape.
    """

    height: int
    width: int
    channels: int = 3
    fit: str = "crop"

    @classmethod
    def of(cls, size: ImageSize, channels: int = 3, fit: str = "crop") -> "ImageFrame":
        """The frame of this size.

        Args:
            size: Pixels a side, or height and width.
            channels: C.
            fit: One of `FITS`.
        """
        height, width = (size, size) if isinstance(size, int) else size
        return cls(height, width, channels, fit)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels

    @property
    def size(self) -> ImageSize:
        """H if the frame is square, else (H, W), as in settings and metadata."""
        return self.height if self.height == self.width else (self.height, self.width)

    @property
    def description(self) -> str:
        """Completes "images, ...": what each of them becomes."""
        if self.fit == "pad":
            return f"each resized to fit into {self} pixels, its edges repeated outwards"
        if self.fit == "stretch":
            return f"each stretched to {self} pixels"
        part = "square" if self.height == self.width else "part of that shape"
        return f"the centred {part} of each resized to {self} pixels"

    def __str__(self):
        return f"{self.height}x{self.width}"

    def fitted(
        self,
        height: Any,
        width: Any,
        minimum: Callable = min,
        maximum: Callable = max,
    ) -> Fitted:
        """How an image is fitted.

        It is computed in whole numbers, so that a graph gets the same result as Python.

        Args:
            height: Height of the upright image, in pixels.
            width: Width of the upright image, in pixels.
            minimum: Minimum of two numbers; `tf.minimum` if they are those of a graph.
            maximum: Maximum of two numbers; `tf.maximum` if they are those of a graph.
        """
        if self.fit == "stretch":
            return Fitted((height, width), (self.height, self.width))
        if self.fit == "pad":
            rows = (2 * height * self.width + width) // (2 * width)
            columns = (2 * width * self.height + height) // (2 * height)
            resized = maximum(rows, 1), maximum(columns, 1)
            return Fitted(
                (height, width),
                (minimum(resized[0], self.height), minimum(resized[1], self.width)),
            )
        rows = maximum(width * self.height // self.width, 1)
        columns = maximum(height * self.width // self.height, 1)
        window = minimum(height, rows), minimum(width, columns)
        return Fitted(window, (self.height, self.width))
