"""95 % intervals by the bootstrap over test images (Efron 1979): percentiles of resampled values.

A resample draws as many images as there are, with replacement. It is represented by how often each
image was drawn. Images of one group, such as the frames of a video, are alike, so they are drawn
together: as many groups as there are, with replacement (the cluster bootstrap, Davison & Hinkley
1997, section 3.8, https://doi.org/10.1017/CBO9780511802843). Drawn one by one, they would give an
interval that is too narrow.
"""

from collections.abc import Callable, Iterator

import numpy as np

RESAMPLES = 500
CHUNK_SIZE = 50  # resamples in memory at once
TAIL = 2.5  # percent of the resampled values below a 95 % interval, and above it

Interval = tuple[float, float]
# float32 [R, N], how often each image was drawn in R resamples -> the statistic's values [..., R].
Statistic = Callable[[np.ndarray], np.ndarray]


def interval(
    num_images: int,
    statistic: Statistic,
    groups: np.ndarray | None,
    resamples: int = RESAMPLES,
    tail: float = TAIL,
) -> Interval:
    """The interval of a statistic's resampled values without those of both tails.

    Args:
        num_images: N.
        statistic: The statistic that is resampled.
        groups: int [N], which images are drawn together; None: each image is drawn alone.
        resamples: Number of resamples, a multiple of `CHUNK_SIZE`; they are the same at each call.
        tail: Percent of the values in each tail.
    """
    units = units_of(num_images, groups)
    values = np.concatenate([statistic(counts) for counts in _resamples(units, resamples)])
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def mean_interval(values: np.ndarray, groups: np.ndarray | None) -> Interval:
    """The interval of the mean of one number per image [N]; `groups` as for `interval`."""
    return interval(len(values), mean_of(values), groups)


def mean_of(values: np.ndarray) -> Statistic:
    """The mean of one number per image [N], as a statistic."""
    return lambda counts: counts @ values / counts.sum(axis=1)


def units_of(num_images: int, groups: np.ndarray | None) -> np.ndarray:
    """What each image is drawn with: the number of its group, from 0, or its own, int [N].

    Args:
        num_images: N.
        groups: int [N], any numbers; None: no groups.
    """
    if groups is not None:
        names, units = np.unique(groups, return_inverse=True)
        if len(names) < num_images:
            return units
    return np.arange(num_images)


def group_count(num_images: int, groups: np.ndarray | None) -> int | None:
    """The number of groups; None without groups, or if each has one image."""
    count = int(units_of(num_images, groups).max(initial=-1)) + 1
    return count if count < num_images else None


def aucs_of(scores: np.ndarray, labels: np.ndarray) -> Statistic:
    """The areas under the ROC curves of several attributes, as a statistic with several values.

    The scores are sorted once for all resamples. Let c be the cumulative counts of the images with
    the other label, in ascending order of their scores. An image of count w then wins w (c(<) +
    c(<=)) / 2 pairs: those with a lower score, and half of those with an equal one. All of these
    are integers, so the values are exactly those of the definition.

    Args:
        scores: float [N, A].
        labels: int [N, A], 0 or 1.

    Returns:
        float32 [R, N] -> float64 [A, R]; NaN if only one label was drawn.
    """
    attributes = [
        _sort_for_auc(score, label == 1) for score, label in zip(scores.T, labels.T, strict=True)
    ]

    def statistic(counts):
        # Small integers: an image is seldom drawn more than ten times, and bytes stay in the cache.
        counts = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        values = [_resampled_auc(counts, *attribute) for attribute in attributes]
        return np.reshape(values, (len(attributes), len(counts)))

    return statistic


def _sort_for_auc(scores, is_positive):
    """The images of both labels, and how many of the second each of the first is above.

    Returns:
        The images of the rarer label, to be ranked higher (negative ones by their negated scores);
        the other images, in ascending order of their scores; and for each of the first, how many of
        the second have a lower score, and how many a lower or equal one.
    """
    if 2 * np.count_nonzero(is_positive) > len(scores):
        scores, is_positive = -scores, ~is_positive
    higher, lower = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    higher, lower = (images[np.argsort(scores[images])] for images in (higher, lower))
    ascending = scores[lower]
    return (
        higher,
        lower,
        np.searchsorted(ascending, scores[higher], side="left"),
        np.searchsorted(ascending, scores[higher], side="right"),
    )


def _resampled_auc(counts, higher, lower, below, up_to):
    cumulative = np.zeros((len(counts), len(lower) + 1), np.int32)
    np.cumsum(np.take(counts, lower, axis=1), axis=1, out=cumulative[:, 1:], dtype=np.int32)
    twice_won = np.take(cumulative, below, axis=1) + np.take(cumulative, up_to, axis=1)
    drawn = np.take(counts, higher, axis=1).astype(np.float64)
    pairs_won = np.einsum("rh,rh->r", drawn, twice_won.astype(np.float64)) / 2
    with np.errstate(invalid="ignore"):
        return pairs_won / (drawn.sum(axis=1) * cumulative[:, -1])


def _resamples(units: np.ndarray, resamples: int) -> Iterator[np.ndarray]:
    """float32 [CHUNK_SIZE, N]: how often each image was drawn, with its unit."""
    count = units.max() + 1
    rng = np.random.default_rng(0)
    for _ in range(0, resamples, CHUNK_SIZE):
        drawn = [rng.integers(0, count, count) for _ in range(CHUNK_SIZE)]
        counts = np.stack([np.bincount(indices, minlength=count) for indices in drawn])
        counts = counts.astype(np.float32)
        yield counts if count == len(units) else counts[:, units]
