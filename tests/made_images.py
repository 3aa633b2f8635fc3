"""Image files for the tests of folders."""

import numpy as np
from PIL import Image


def pixels(number, height=24, width=24):
    """An image that no other number has: smooth, so that JPEG keeps it."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.sin(x / (2 + number % 7)) + np.cos(y / (2 + number % 11))
    colour = np.array([number * 37 % 256, number * 91 % 256, number * 151 % 256])
    return np.clip(waves[..., None] * 20 + colour * 0.7 + 40, 0, 255).astype(np.uint8)


def save(path, number=0, image=None, **options):
    """Writes an image file, its format by the suffix; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.fromarray(pixels(number)) if image is None else image
    made.save(path, **options)
    return path


def tree(folder, count, name="{:03d}.png"):
    """That many images; `name` may have folders."""
    for number in range(count):
        save(folder / name.format(number), number)
    return folder
