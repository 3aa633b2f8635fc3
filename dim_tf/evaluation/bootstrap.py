"""95 % intervals by the bootstrap over test images (Efron 1979): percentiles of resampled values.

A resample draws as many images as there are, with replacement. It is represented by how often each
image was drawn.
"""

from collections.abc import Callable, Iterator

import numpy as np

RESAMPLES = 500
CHUNK_SIZE = 50  # resamples in memory at once

Interval = tuple[float, float]
# float32 [R, N], how often each image was drawn in R resamples -> the statistic's values [R].
Statistic = Callable[[np.ndarray], np.ndarray]


def interval(num_images: int, statistic: Statistic, resamples: int = RESAMPLES) -> Interval:
    """The interval in which 95 % of a statistic's resampled values lie.

    Args:
        num_images: N.
        statistic: what is resampled.
        resamples: a multiple of `CHUNK_SIZE`; the same ones at each call.
    """
    values = np.concatenate([statistic(counts) for counts in _resamples(num_images, resamples)])
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def mean_interval(values: np.ndarray) -> Interval:
    """The interval of the mean of one number an image [N]."""
    return interval(len(values), mean_of(values))


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of one number an image [N], as a statistic."""
    return lambda counts: counts @ values / len(values)


def auc(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The area under the ROC curve of each resample.

    Args:
        scores: float [N].
        labels: int [N], 0 or 1.
        counts: float32 [R, N].

    Returns:
        float64 [R]; NaN where only one label was drawn.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    weights = counts[:, order].astype(np.float64)
    positive, negative = weights * labels[order], weights * (1 - labels[order])
    below = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(negative, axis=1)], axis=1)
    # Negatives of an equal score count half.
    first = np.searchsorted(ordered, ordered, side="left")
    after = np.searchsorted(ordered, ordered, side="right")
    pairs_won = np.sum(positive * (below[:, first] + below[:, after]) / 2, axis=1)
    with np.errstate(invalid="ignore"):
        return pairs_won / (positive.sum(axis=1) * negative.sum(axis=1))


def _resamples(num_images: int, resamples: int) -> Iterator[np.ndarray]:
    """float32 [CHUNK_SIZE, N]: how often each image was drawn."""
    rng = np.random.default_rng(0)
    for _ in range(0, resamples, CHUNK_SIZE):
        drawn = [rng.integers(0, num_images, num_images) for _ in range(CHUNK_SIZE)]
        yield np.stack([np.bincount(indices, minlength=num_images) for indices in drawn]).astype(
            np.float32
        )
