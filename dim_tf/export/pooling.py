"""Averages large endpoints over their locations, so that their features fit into memory."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dim_tf.system.errors import InputError


def pool_to_limit(x: tf.Tensor, max_features: int, endpoint: str) -> tf.Tensor:
    """Averages an endpoint that has too many numbers to the largest grid that fits.

    The grid keeps the map's proportions. Its cells are the regions of PyTorch's AdaptiveAvgPool2d
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html), which overlap
    if the sides are not divisible.

    Args:
        x: float [N, H, W, C] or [N, F]; all sizes but N are known.
        max_features: Largest number of numbers per image.
        endpoint: Name of the endpoint, for the error.

    Returns:
        float32 [N, h, w, C] with at most `max_features` numbers per image; `x` as float32 if it
        fits.

    Raises:
        InputError: Not even the mean over all locations fits, or there are no locations.
    """
    x = tf.cast(x, tf.float32)
    shape = tuple(x.shape[1:])
    if math.prod(shape) <= max_features:
        return x
    height, width = _grid(shape, max_features, endpoint)
    rows, columns = _averaging_weights(shape[0], height), _averaging_weights(shape[1], width)
    return tf.einsum("gh,nhwc,kw->ngkc", rows, x, columns)


def flatten_to_limit(x: tf.Tensor, max_features: int, endpoint: str) -> tf.Tensor:
    """`pool_to_limit`, flattened: float32 [N, F]; arguments and errors are the same."""
    pooled = pool_to_limit(x, max_features, endpoint)
    return tf.reshape(pooled, [-1, math.prod(pooled.shape[1:])])


def describe_pooling(shape: Sequence[int], max_features: int, endpoint: str) -> str:
    """What `pool_to_limit` does, such as "7x7x2048 pooled to 2x2x2048"; empty if it does nothing.

    Args:
        shape: Shape of the endpoint for one image.
        max_features: As for `pool_to_limit`.
        endpoint: As for `pool_to_limit`.

    Raises:
        InputError: As for `pool_to_limit`.
    """
    pooled = pooled_shape(shape, max_features, endpoint)
    if pooled == tuple(shape):
        return ""
    return f"{_format_shape(shape)} pooled to {_format_shape(pooled)}"


def pooled_shape(shape: Sequence[int], max_features: int, endpoint: str) -> tuple[int, ...]:
    """An image's shape after `pool_to_limit`; arguments as for `describe_pooling`."""
    if math.prod(shape) <= max_features:
        return tuple(shape)
    return *_grid(shape, max_features, endpoint), shape[-1]


def _grid(shape, max_features, endpoint) -> tuple[int, int]:
    """(h, w) of the largest grid with the map's proportions that fits."""
    if len(shape) != 3:
        raise InputError(
            f"the endpoint {endpoint} has {math.prod(shape):,} numbers an image and no locations "
            f"to average them over, more than --max_features={max_features}; give "
            f"--max_features={math.prod(shape)}"
        )
    height, width, channels = shape
    longest = max(height, width)
    for side in range(longest - 1, 0, -1):
        grid = max(height * side // longest, 1), max(width * side // longest, 1)
        if math.prod(grid) * channels <= max_features:
            return grid
    raise InputError(
        f"the endpoint {endpoint} has {channels:,} numbers at each location, more than "
        f"--max_features={max_features}; give --max_features={channels} or more"
    )


def _averaging_weights(size: int, cells: int) -> np.ndarray:
    """float32 [cells, size]: multiplied by `size` numbers, it gives the means of their regions."""
    weights = np.zeros((cells, size), np.float32)
    for cell in range(cells):
        first, end = cell * size // cells, -(-(cell + 1) * size // cells)
        weights[cell, first:end] = 1.0 / (end - first)
    return weights


def _format_shape(shape):
    return "x".join(map(str, shape))
