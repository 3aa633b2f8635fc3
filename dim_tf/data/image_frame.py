"""The height, width and channels that images are given, and how they are fitted into them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

FITS = ("crop", "pad", "stretch")
ImageSize = int | tuple[int, int]  # pixels a side, or height and width


class Fitted(NamedTuple):
    """How one image is fitted, in pixels: whole numbers, or scalars of a graph.

    Attributes:
        window: height and width of the centred part of the image that is used.
        resized: height and width to which that part is resized, at most the frame's.
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
        fit: "crop": the largest centred part of the frame's shape is resized. "pad": the whole
            image is resized to fit inside, centred, and the pixels of its edges are repeated
            outwards. "stretch": the whole image is resized, whatever its shape.
    """

    height: int
    width: int
    channels: int = 3
    fit: str = "crop"

    @classmethod
    def of(cls, size: ImageSize, channels: int = 3, fit: str = "crop") -> "ImageFrame":
        """The frame of a size.

        Args:
            size: pixels a side, or height and width.
            channels: C.
            fit: one of `FITS`.
        """
        height, width = (size, size) if isinstance(size, int) else size
        return cls(height, width, channels, fit)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.height, self.width, self.channels

    @property
    def size(self) -> ImageSize:
        """H where the frame is square, else (H, W): as settings and metadata have it."""
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

        In whole numbers, so that a graph computes the same as Python.

        Args:
            height: of the image, in pixels, upright.
            width: likewise.
            minimum: of two numbers; `tf.minimum` where they are a graph's.
            maximum: likewise.
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
