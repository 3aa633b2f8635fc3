"""Large endpoints are averaged over their locations, so that their features fit into memory."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dim_tf.system.errors import InputError


def pooled(x: tf.Tensor, most: int, endpoint: str) -> tf.Tensor:
    """An endpoint, averaged to the largest grid that fits where it has too many numbers.

    The grid keeps the map's proportions. Its cells are the regions of PyTorch's AdaptiveAvgPool2d
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html), which overlap
    where the sides do not divide.

    Args:
        x: float [N, H, W, C] or [N, F], of a known shape but for N.
        most: numbers that an image may have (`--max_features`).
        endpoint: its name, for the error.

    Returns:
        float32 [N, h, w, C] of at most `most` numbers an image; `x` in float32 if it fits.

    Raises:
        InputError: not even the mean over all locations fits, or there are no locations.
    """
    x = tf.cast(x, tf.float32)
    shape = tuple(x.shape[1:])
    if math.prod(shape) <= most:
        return x
    height, width = _grid(shape, most, endpoint)
    rows, columns = _averages(shape[0], height), _averages(shape[1], width)
    return tf.einsum("gh,nhwc,kw->ngkc", rows, x, columns)


def description(shape: Sequence[int], most: int, endpoint: str) -> str:
    """What `pooled` does with an endpoint, as "7x7x2048 pooled to 2x2x2048"; empty: nothing.

    Args:
        shape: of the endpoint, of one image.
        most: as for `pooled`.
        endpoint: as for `pooled`.

    Raises:
        InputError: as `pooled`.
    """
    if math.prod(shape) <= most:
        return ""
    grid = _grid(shape, most, endpoint)
    return f"{_by(shape)} pooled to {_by((*grid, shape[-1]))}"


def _grid(shape, most, endpoint) -> tuple[int, int]:
    """(h, w) of the largest grid of the map's proportions that fits."""
    if len(shape) != 3:
        raise InputError(
            f"the endpoint {endpoint} has {math.prod(shape):,} numbers an image and no locations "
            f"to average them over, more than --max_features={most}; give "
            f"--max_features={math.prod(shape)}"
        )
    height, width, channels = shape
    longest = max(height, width)
    for side in range(longest - 1, 0, -1):
        grid = max(height * side // longest, 1), max(width * side // longest, 1)
        if math.prod(grid) * channels <= most:
            return grid
    raise InputError(
        f"the endpoint {endpoint} has {channels:,} numbers at each location, more than "
        f"--max_features={most}; give --max_features={channels} or more"
    )


def _averages(size: int, cells: int) -> np.ndarray:
    """float32 [cells, size]: times a row of `size` numbers, the means of its regions."""
    weights = np.zeros((cells, size), np.float32)
    for cell in range(cells):
        first, end = cell * size // cells, -(-(cell + 1) * size // cells)
        weights[cell, first:end] = 1.0 / (end - first)
    return weights


def _by(shape):
    return "x".join(map(str, shape))
