"""Small images of a collection for its pages."""

import base64
import io

import numpy as np
from PIL import Image

MAX_SIDE = 96  # pixels
_QUALITY = 85


def thumbnail(image: np.ndarray) -> bytes:
    """An image as a JPEG of at most `MAX_SIDE` pixels a side; it is not enlarged.

    Args:
        image: uint8 [H, W, 3] or [H, W, 1].

    Raises:
        ValueError: The image has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        actual = f"image of shape {image.shape} and type {image.dtype}"
        raise ValueError(f"{actual}; expected uint8 [H, W, C] with C = 1 or 3")
    small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def thumbnail_uri(image: np.ndarray) -> str:
    """`thumbnail` as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(image)).decode("ascii")
