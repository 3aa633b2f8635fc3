"""Images unlike the others, by three distances, since outliers come in several kinds.

- isolated: the mean cosine distance to the k nearest images. A picture that came in by mistake is
  far from all others, but a hundred of one kind are near each other.
- rare: the mean cosine distance to the k nearest images of a random sample of the collection
  (Sugiyama & Borgwardt 2013, Rapid distance-based outlier detection via sampling). The sample has
  few images of a small group, so the others in the group are far from it.
- unusual: the distance from the whole collection in units of its variation (`robust_distance.py`).
  If an encoder was not trained on a kind of images, their features are often near those of other
  images, but combine what never occurs together.

Copies of an image do not count as its neighbours, and the null takes one image of each group.

The null: an image of the collection's own kind has a distance from the tail that is fitted to the
80th to 98th percentile (`tail.py`). Its p-value is the tail's probability of a distance at least as
large, and the smallest of the three times 3. Benjamini and Hochberg's cut keeps the expected
fraction of false ones among the outliers at the given rate.
"""

from dataclasses import dataclass

import numpy as np

from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.curation.robust_distance import robust_distances
from dim_tf.collection.curation.tail import Tail, benjamini_hochberg, fit_tail
from dim_tf.collection.unit_rows import unit_rows

KINDS = ("isolated", "rare", "unusual")
SAMPLE = 1000  # images in the sample, at most a tenth of all
_BLOCK = 4096
_MIN_SAMPLE = 20  # in a smaller one, k is not a small part


@dataclass(frozen=True)
class Outliers:
    """Distances of all images, and which of them are outliers.

    Attributes:
        distances: float64 [N, 3], one for each of the three `KINDS`.
        tails: The tail of each kind; None: there are too few images, or all are alike.
        p_values: float64 [N]; 1 for most, and for all if there is no tail.
        kinds: int64 [N], the kind whose distance is least likely.
        is_outlier: bool [N].
        cut: The largest p-value of an outlier, 0 if there is none.
        expected_false: Expected number of outliers by the cut that are of the collection's own
            kind.
    """

    distances: np.ndarray
    tails: tuple[Tail | None, ...]
    p_values: np.ndarray
    kinds: np.ndarray
    is_outlier: np.ndarray
    cut: float
    expected_false: float

    @property
    def is_measured(self) -> bool:
        """Whether there are enough images to say what distance is unusual."""
        return any(tail is not None for tail in self.tails)


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
    """Measures how far each image is from the others; takes 80 bytes per image.

    Args:
        features: float32 [N, D]; read in blocks.
        neighbours: Nearest neighbours of the images.
        groups: int64 [N], the group of copies of each image, -1 for none.
        redundant: bool [N], all images of each group except one.
        k: Number of neighbours whose distances are averaged.
        false_rate: Expected fraction of false ones among the outliers.
        seed: Seed of the sample.
    """
    distances = np.stack(
        [
            neighbours.mean_distances(k, groups),
            _sample_distances(features, groups, ~redundant, k, seed),
            robust_distances(features, ~redundant, seed),
        ],
        axis=1,
    )
    tails = tuple(fit_tail(column[~redundant]) for column in distances.T)
    by_kind = np.stack(
        [
            np.ones(len(features)) if tail is None else tail.survival(column)
            for tail, column in zip(tails, distances.T, strict=True)
        ],
        axis=1,
    )
    p_values = np.minimum(len(KINDS) * by_kind.min(axis=1), 1)
    cut = benjamini_hochberg(p_values, false_rate)
    is_outlier = (p_values <= cut) & (p_values < 1)
    return Outliers(
        distances,
        tails,
        p_values,
        by_kind.argmin(axis=1),
        is_outlier,
        cut if is_outlier.any() else 0.0,
        len(p_values) * cut if is_outlier.any() else 0.0,
    )


def _sample_distances(features, groups, sampled, k, seed):
    """The mean distance of each image from its k nearest in a sample, without it and its copies."""
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
