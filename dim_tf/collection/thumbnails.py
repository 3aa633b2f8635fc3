"""Small images of a collection, for its pages."""

import base64
import io

import numpy as np
from PIL import Image

MAX_SIDE = 96  # pixels
_QUALITY = 85


def shrink(image: np.ndarray) -> np.ndarray:
    """An image of at most `MAX_SIDE` pixels a side; a smaller one keeps its size.

    Args:
        image: uint8 [H, W, 3] or [H, W, 1].

    Returns:
        uint8 [h, w, 3].

    Raises:
        ValueError: The image has another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        actual = f"image of shape {image.shape} and type {image.dtype}"
        raise ValueError(f"{actual}; expected uint8 [H, W, C] with C = 1 or 3")
    small = Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)))
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(small)


def jpeg(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 [h, w, 3], as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def jpeg_uri(pixels: np.ndarray) -> str:
    """`jpeg` as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(pixels)).decode("ascii")
