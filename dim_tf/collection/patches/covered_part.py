"""The part of an image that its local map covers: what the encoder's `fit` keeps of it."""

from typing import NamedTuple

import numpy as np

from dim_tf.data.image_frame import ImageFrame
from dim_tf.system.errors import InputError


class CoveredPart(NamedTuple):
    """A rectangle, in pixels of the image; with fit="pad" it reaches beyond the image.

    Attributes:
        top: Its first row; negative if pixels of the edge are repeated above the image.
        left: Its first column, in the same way.
        height: Number of its rows.
        width: Number of its columns.
    """

    top: float
    left: float
    height: float
    width: float


def covered_part(frame: ImageFrame, height: int, width: int) -> CoveredPart:
    """The part of an image that an encoder sees.

    Args:
        frame: What the encoder makes of an image.
        height: Height of the upright image in pixels.
        width: Width of the upright image in pixels.
    """
    fitted = frame.fitted(height, width)
    starts, lengths = [], []
    for pixels, window, resized, seen in zip(
        (height, width), fitted.window, fitted.resized, (frame.height, frame.width), strict=True
    ):
        margin = (seen - resized) // 2  # as `image_ops.fit_image` and `decoding` divide it
        starts.append((pixels - window) // 2 - margin * window / resized)
        lengths.append(seen * window / resized)
    return CoveredPart(starts[0], starts[1], lengths[0], lengths[1])


def box_in_part(
    box: tuple[int, int, int, int], frame: ImageFrame, height: int, width: int
) -> tuple[tuple[float, float, float, float], tuple[float, float]]:
    """A box relative to the covered part, in the form that `patch_search.features_in_box` takes.

    Args:
        box: Top, left, height and width, in pixels of the image.
        frame: What the encoder makes of an image.
        height: Height of the upright image in pixels.
        width: Width of the upright image in pixels.

    Returns:
        Top, left, height and width of the part of the box that the encoder sees, and height and
        width of everything that it sees, in pixels of the image.

    Raises:
        InputError: The box is not in the image, or the encoder sees no part of it.
    """
    part = covered_part(frame, height, width)
    text = ",".join(map(str, box))
    starts, lengths = [], []
    for start, length, pixels, first, covered in zip(
        box[:2], box[2:], (height, width), part[:2], part[2:], strict=True
    ):
        if not 0 <= start < start + length <= pixels:
            raise InputError(
                f"--query_box={text} (top, left, height, width) is not in the image of {height} x "
                f"{width} pixels; give a part of it"
            )
        begin, end = max(start - first, 0), min(start + length - first, covered)
        if begin >= end:
            raise InputError(
                f"--query_box={text} is in the part of the image that the encoder does not see: it "
                f"takes {frame.description}; give another box, or an encoder with --fit=pad"
            )
        starts.append(begin)
        lengths.append(end - begin)
    return (starts[0], starts[1], lengths[0], lengths[1]), (part.height, part.width)


def covered_pixels(image: np.ndarray, frame: ImageFrame) -> np.ndarray:
    """The pixels of the part that an encoder sees, at the image's own resolution.

    Args:
        image: [h, w, C] or [h, w], upright.
        frame: What the encoder makes of an image.

    Returns:
        [h', w', C] or [h', w'], in the proportions of the frame up to rounding, unless its fit is
        "stretch".
    """
    part = covered_part(frame, *image.shape[:2])
    slices, margins = [], []
    for start, length, pixels in zip(part[:2], part[2:], image.shape[:2], strict=True):
        first, last = round(start), round(start + length)
        slices.append(slice(max(first, 0), min(last, pixels)))
        margins.append((max(-first, 0), max(last - pixels, 0)))
    inside = image[slices[0], slices[1]]
    return np.pad(inside, margins + [(0, 0)] * (image.ndim - 2), mode="edge")
