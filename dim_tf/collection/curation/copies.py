"""Copies of an image as people have them: recompressed, resized, cropped, mirrored."""

import io

import numpy as np
from PIL import Image

KINDS = ("recompressed", "resized", "cropped", "mirrored")
JPEG_QUALITY = 60
RESIZED_SIDE = 0.7  # of the image's
CROPPED_SIDE = 0.9


def augmented_copy(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A copy of an image.

    Args:
        image: uint8 [H, W, 3].
        kind: One of `KINDS`. recompressed: as a JPEG of quality 60; resized: to 70 % of its sides;
            cropped: to a window of 90 % of its sides, at a random place; mirrored: left to right.
        rng: Draws the place of the crop.

    Returns:
        uint8 [H', W', 3].

    Raises:
        ValueError: The kind is unknown.
    """
    height, width = image.shape[:2]
    if kind == "recompressed":
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
        return np.asarray(Image.open(file))
    if kind == "resized":
        size = (max(round(RESIZED_SIDE * width), 1), max(round(RESIZED_SIDE * height), 1))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    if kind == "cropped":
        rows, columns = (max(round(CROPPED_SIDE * side), 1) for side in (height, width))
        top = rng.integers(0, height - rows + 1)
        left = rng.integers(0, width - columns + 1)
        return image[top : top + rows, left : left + columns]
    if kind == "mirrored":
        return image[:, ::-1]
    raise ValueError(f"no copy {kind!r}; expected one of {', '.join(KINDS)}")
