"""Features of mean 0 and standard deviation 1."""

import numpy as np

CHUNK_SIZE = 1024  # features whose deviations from the mean are in memory at once
CONSTANT = 1e-6  # standard deviation over mean: the rounding of float32


def standardise(features: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Features [N, F] less their mean and over their standard deviation, both [F]."""
    return (features - mean) / np.sqrt(variance)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each feature, without a second copy of them all.

    Args:
        features: float32 [N, F].

    Returns:
        Both float32 [F]. The variance of a feature that is constant up to rounding is infinite, so
        that it is 0 once standardised, also on images that differ from the training images.
    """
    mean: np.ndarray = np.asarray(np.mean(features, axis=0, dtype=np.float64))
    square_sum = np.zeros_like(mean)
    for first in range(0, len(features), CHUNK_SIZE):
        square_sum += np.sum((features[first : first + CHUNK_SIZE] - mean) ** 2, axis=0)
    variance = square_sum / len(features)
    variance[variance <= (CONSTANT * mean) ** 2] = np.inf
    return mean.astype(np.float32), variance.astype(np.float32)
