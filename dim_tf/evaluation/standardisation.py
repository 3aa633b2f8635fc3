"""Features with mean 0 and standard deviation 1."""

from collections.abc import Sequence

import numpy as np

CHUNK_SIZE = 1024  # features whose deviations from the mean are in memory at once
CONSTANT = 1e-6  # standard deviation over mean: the rounding of float32


def standardise(features: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Features [N, F] minus their mean, divided by their standard deviation; both are [F]."""
    return (features - mean) / np.sqrt(variance)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each feature, without a second copy of all features.

    Args:
        features: float32 [N, F].

    Returns:
        Both float32 [F]. The variance of a feature that is constant up to rounding is infinite, so
        that the standardised feature is 0, also on images that differ from the training images.
    """
    chunks = [slice(first, first + CHUNK_SIZE) for first in range(0, len(features), CHUNK_SIZE)]
    return chunk_moments(features, chunks)


def chunk_moments(
    features: np.ndarray, chunks: Sequence[slice | np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Like `moments`, for some of the features.

    Args:
        features: float32 [N, F].
        chunks: Slices or indices of the features; no two have a feature in common.

    Returns:
        See `moments`.
    """
    count = 0
    mean = np.zeros(features.shape[1])
    for chunk in chunks:
        rows = features[chunk]
        count += len(rows)
        mean += rows.sum(axis=0, dtype=np.float64)
    mean /= count
    square_sum = np.zeros_like(mean)
    for chunk in chunks:
        square_sum += np.sum((features[chunk] - mean) ** 2, axis=0)
    variance = square_sum / count
    variance[variance <= (CONSTANT * mean) ** 2] = np.inf
    return mean.astype(np.float32), variance.astype(np.float32)
