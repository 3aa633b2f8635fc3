"""Local maps in blocks of images, and single patches of them.

A patch is the feature of a location, or the mean of its neighbourhood; its number is
(n H + row) W + column.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import scipy.ndimage

from dim_tf.system.errors import InputError

BLOCK_BYTES = 2**26  # of float32 maps that are in memory at once


class LocalMapArray(Protocol):
    """Local maps, floats [N, H, W, D]: anything with a shape that is indexed like an array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def map_blocks(maps: LocalMapArray, neighbourhood: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of images with averaged neighbourhoods: slices, and float32 [n, H, W, D].

    Raises:
        InputError: A number is not finite.
    """
    step = max(BLOCK_BYTES // (4 * int(np.prod(maps.shape[1:]))), 1)
    for first in range(0, len(maps), step):
        images = slice(first, min(first + step, len(maps)))
        block = np.asarray(maps[images], np.float32)
        faulty = np.flatnonzero(~np.isfinite(block).all(axis=(1, 2, 3)))
        if len(faulty):
            raise InputError(
                f"the local map of image {first + int(faulty[0])} has a number that is not finite; "
                "leave the image out, or embed it again"
            )
        yield images, average_neighbourhoods(block, neighbourhood)


def average_neighbourhoods(maps: np.ndarray, size: int) -> np.ndarray:
    """The mean of each location's neighbourhood; at the border, of the part inside the map.

    Args:
        maps: float32 [N, H, W, D].
        size: Locations per side, odd.

    Returns:
        float32 [N, H, W, D].
    """
    if size == 1:
        return maps
    inside = scipy.ndimage.uniform_filter(np.ones(maps.shape[1:3]), size, mode="constant")
    sums = scipy.ndimage.uniform_filter(maps, (1, size, size, 1), mode="constant")
    return sums / inside[:, :, np.newaxis].astype(np.float32)


def check_maps(maps: LocalMapArray) -> None:
    """Checks the shape of local maps.

    Raises:
        InputError: It is not [N, H, W, D], with at least one image.
    """
    if len(maps.shape) != 4 or 0 in maps.shape:
        raise InputError(
            f"local maps of shape {list(maps.shape)}; expected [N, H, W, D], of at least one image"
        )


def draw_patches(maps: LocalMapArray, count: int, seed: int) -> np.ndarray:
    """The numbers of some patches, int64 ascending; of all if there are at most `count`."""
    total = int(np.prod(maps.shape[:3]))
    numbers = np.random.default_rng(seed).choice(
        total, min(total, count), replace=False, shuffle=False
    )
    return np.sort(numbers)


def take_patches(maps: LocalMapArray, numbers: np.ndarray, neighbourhood: int = 1) -> np.ndarray:
    """Some patches of local maps.

    Args:
        maps: Floats [N, H, W, D]; read in blocks of images.
        numbers: int64 [n], ascending.
        neighbourhood: Locations per side that are averaged.

    Returns:
        float32 [n, D].

    Raises:
        InputError: A number is not finite.
    """
    locations = maps.shape[1] * maps.shape[2]
    patches = np.empty((len(numbers), maps.shape[3]), np.float32)
    for images, block in map_blocks(maps, neighbourhood):
        ends = images.start * locations, images.stop * locations
        part = slice(*np.searchsorted(numbers, ends))
        patches[part] = block.reshape(-1, maps.shape[3])[numbers[part] - ends[0]]
    return patches
