"""95 % intervals by the bootstrap over test images (Efron 1979): percentiles of resampled figures.

A resample draws as many images as there are, with replacement; here it is how often each was drawn.
"""

from collections.abc import Callable, Iterator

import numpy as np

RESAMPLES = 500
CHUNK = 50  # resamples in memory at once

Interval = tuple[float, float]


def interval(images: int, figure: Callable[[np.ndarray], np.ndarray]) -> Interval:
    """Where 95 % of a figure's resampled values lie.

    Args:
        images: N, how many there are.
        figure: float32 [R, N], how often each image was drawn in R resamples -> its values [R].
    """
    values = np.concatenate([figure(counts) for counts in _resamples(images)])
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def of_mean(values: np.ndarray) -> Interval:
    """Of the mean of one number an image [N]."""
    return interval(len(values), lambda counts: counts @ values / len(values))


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
    won = np.sum(positive * (below[:, first] + below[:, after]) / 2, axis=1)
    with np.errstate(invalid="ignore"):
        return won / (positive.sum(axis=1) * negative.sum(axis=1))


def _resamples(images: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(0, RESAMPLES, CHUNK):
        drawn = [rng.integers(0, images, images) for _ in range(CHUNK)]
        yield np.stack([np.bincount(rows, minlength=images) for rows in drawn]).astype(np.float32)
