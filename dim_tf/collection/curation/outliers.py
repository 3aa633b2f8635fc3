"""Images unlike the others: far from their nearest images, or from a sample of the collection.

Two distances, since outliers come alone and in groups:

- isolated: the mean cosine distance to the k nearest images. A picture that came in by mistake is
  far from all others; a hundred of one kind are near each other.
- rare: the mean cosine distance to the k nearest of a random sample of the collection (Sugiyama &
  Borgwardt 2013, Rapid distance-based outlier detection via sampling). Of a small group few are in
  the sample, so that the others are far from it.

Copies of an image do not count among its neighbours, and the null takes one image of each group.

The null: an image of the collection's own kind has a distance from the tail that is fitted to the
80th to 98th percentile (`tail.py`). Its p-value is the tail's probability of a distance at least as
large; of the two distances the smaller one, times 2. Benjamini and Hochberg's cut keeps the
expected fraction of false ones among the outliers at the given rate.
"""

from dataclasses import dataclass

import numpy as np

from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.curation.tail import Tail, benjamini_hochberg, fit_tail
from dim_tf.collection.curation.unit_features import unit_rows

SAMPLE = 1000  # images of the sample, at most a tenth of all
_BLOCK = 4096
_MIN_SAMPLE = 20  # k of fewer is not a small part of them


@dataclass(frozen=True)
class Outliers:
    """Distances of all images, and which of them are outliers.

    Attributes:
        distances: float64 [N], to the nearest images.
        sample_distances: float64 [N], to the nearest of the sample.
        p_values: float64 [N]; 1 for most, and for all where there are too few images for a tail.
        is_rare: bool [N], whether the distance to the sample has the smaller p-value.
        is_outlier: bool [N].
        cut: the largest p-value of an outlier, 0 without any.
        expected_false: images of the collection's own kind that the cut is expected to take.
        tail: of `distances`; None: too few images, or all alike.
        sample_tail: of `sample_distances`.
    """

    distances: np.ndarray
    sample_distances: np.ndarray
    p_values: np.ndarray
    is_rare: np.ndarray
    is_outlier: np.ndarray
    cut: float
    expected_false: float
    tail: Tail | None
    sample_tail: Tail | None


def find_outliers(
    features: np.ndarray,
    neighbours: NeighbourLists,
    groups: np.ndarray,
    redundant: np.ndarray,
    *,
    k: int,
    false_rate: float,
    seed: int = 0,
) -> Outliers:
    """Measures how far each image is from the others; 40 bytes an image.

    Args:
        features: float32 [N, D]; read in blocks.
        neighbours: of the images.
        groups: int64 [N], the group of copies of each, -1 for none.
        redundant: bool [N], all but one image of each group.
        k: neighbours whose distances are averaged.
        false_rate: expected fraction of false ones among the outliers.
        seed: draws the sample.
    """
    distances = neighbours.mean_distances(k, groups)
    sample_distances = _sample_distances(features, groups, ~redundant, k, seed)
    tail, sample_tail = fit_tail(distances[~redundant]), fit_tail(sample_distances[~redundant])
    alone, apart = (
        np.ones(len(values)) if fitted is None else fitted.survival(values)
        for fitted, values in ((tail, distances), (sample_tail, sample_distances))
    )
    p_values = np.minimum(2 * np.minimum(alone, apart), 1)
    cut = benjamini_hochberg(p_values, false_rate)
    return Outliers(
        distances,
        sample_distances,
        p_values,
        apart < alone,
        (p_values <= cut) & (p_values < 1),
        cut,
        len(p_values) * cut,
        tail,
        sample_tail,
    )


def _sample_distances(features, groups, sampled, k, seed):
    """The mean distance of each image to its k nearest of a sample, without it and its copies."""
    candidates = np.flatnonzero(sampled)
    size = min(SAMPLE, len(candidates) // 10)
    if size < _MIN_SAMPLE:
        return np.zeros(len(features))
    sample = np.sort(np.random.default_rng(seed).choice(candidates, size, replace=False))
    units = unit_rows(features[sample])
    k = min(k, size // 4)
    means = np.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(features)))
        similarities = unit_rows(features[rows[0] : rows[-1] + 1]) @ units.T
        own = groups[rows][:, np.newaxis]
        is_copy = (rows[:, np.newaxis] == sample) | ((own >= 0) & (own == groups[sample]))
        similarities[is_copy] = -1
        nearest = np.partition(similarities, size - k, axis=1)[:, size - k :]
        means[rows] = 1 - nearest.mean(axis=1, dtype=np.float64)
    return means
