"""Image files whose values are numbers and not shades, for the tests."""

import numpy as np
import tifffile


def values(number, shape=(20, 30, 5), dtype=np.uint16):
    """A different array for each number; each channel has a range of its own."""
    height, width, channels = shape
    y, x = np.mgrid[0:height, 0:width]
    waves = np.sin(x / (2 + number % 7)) + np.cos(y / (3 + number % 5)) + 2
    steps = np.arange(1, channels + 1)
    array = waves[..., None] * 200 * steps + number * 7
    return array.astype(dtype) if np.issubdtype(dtype, np.integer) else (array / 1e3).astype(dtype)


def npy_folder(folder, count=40, **options):
    """Writes .npy files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        np.save(folder / f"{number:03d}.npy", values(number, **options))
    return folder


def tiff_folder(folder, count=40, **options):
    """Writes TIFFs of one channel of floats; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        array = values(number, (20, 30, 1), np.float32, **options)
        tifffile.imwrite(folder / f"{number:03d}.tif", array[..., 0])
    return folder
