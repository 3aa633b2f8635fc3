"""N images that represent a collection: to label, or to look at.

- "coverage": k-center greedy (Gonzalez 1985, https://doi.org/10.1016/0304-3975(85)90224-5; for
  active learning Sener & Savarese 2018, https://arxiv.org/abs/1708.00489). It always takes the
  image that is farthest from those already chosen. Then no image is more than twice as far from a
  chosen one as with the best choice. It takes what is rare, and outliers first, which are best left
  out.
- "typical": TypiClust (Hacohen, Dekel & Weinshall 2022, https://arxiv.org/abs/2202.02794). The
  collection is divided into N clusters, and the most typical image of each is taken, the one with
  the nearest neighbours. It takes what is common, which is better with few labels. The clusters
  come from mini-batch k-means; the neighbours are those in the collection, not in the cluster.

Distances are Euclidean distances between features of length 1: √(2 - 2 cos).
"""

from dataclasses import dataclass

import numpy as np
import threadpoolctl
from sklearn.cluster import MiniBatchKMeans

from dim_tf.collection.k_center import k_center_greedy
from dim_tf.collection.unit_rows import unit_rows
from dim_tf.settings.curation import SUBSET_METHODS
from dim_tf.system.errors import InputError

RANDOM_DRAWS = 3  # of subsets to compare with
_BLOCK = 2**14
_PRODUCTS = 2**24  # of images and chosen ones at a time


@dataclass(frozen=True)
class Coverage:
    """How near the images of a collection are to the chosen ones.

    Attributes:
        largest: Largest distance of an image from the nearest chosen one.
        mean: Mean of these distances.
        within: Fraction of the images that have a chosen image within the typical distance of
            neighbours.
    """

    largest: float
    mean: float
    within: float

    def summary(self) -> dict[str, float]:
        """The coverage as in curation.json."""
        return {name: round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Subset:
    """The chosen images.

    Attributes:
        rows: int64 [n], in the order of the choice. With k-center greedy the first m are a choice
            of m images; with typicality, images of the largest clusters come first.
        method: One of `SUBSET_METHODS`.
        coverage: Coverage of the eligible images.
        random_coverage: Coverage by as many random images, averaged over some draws.
        typical_distance: Distance between an image and its neighbours: the median of the means.
    """

    rows: np.ndarray
    method: str
    coverage: Coverage
    random_coverage: Coverage
    typical_distance: float


def choose_subset(
    features: np.ndarray,
    distances: np.ndarray,
    eligible: np.ndarray,
    size: int,
    method: str,
    *,
    seed: int = 0,
) -> Subset:
    """Chooses images; takes O(N n D) products, and 4 D + 24 bytes per image.

    Args:
        features: float32 [N, D]; a copy scaled to length 1 is kept.
        distances: float64 [N], the mean cosine distance of each image from its neighbours.
        eligible: bool [N], images that may be chosen and that are to be covered.
        size: n; all eligible images if they are fewer.
        method: One of `SUBSET_METHODS`.
        seed: Seed of the clusters' first centers and of the random subsets.

    Raises:
        InputError: The method is unknown, or no image is eligible.
    """
    if method not in SUBSET_METHODS:
        raise InputError(f"no subset {method!r}; expected one of {', '.join(SUBSET_METHODS)}")
    candidates = np.flatnonzero(eligible)
    if not len(candidates):
        raise InputError("no image is left to choose a subset from; leave fewer out")
    units = _unit_copy(features, candidates)
    size = min(size, len(candidates))
    if method == "coverage":
        most_central = int((units @ units.mean(axis=0)).argmax())
        chosen = k_center_greedy(units, size, most_central).rows
    else:
        chosen = _typical(units, distances[candidates], size, seed)
    radius = float(np.sqrt(2 * np.median(distances[candidates])))
    rng = np.random.default_rng(seed)
    draws = [
        coverage(units, rng.choice(len(units), size, replace=False), radius)
        for _ in range(RANDOM_DRAWS)
    ]
    names = ("largest", "mean", "within")
    random = Coverage(*(float(np.mean([getattr(d, name) for d in draws])) for name in names))
    return Subset(candidates[chosen], method, coverage(units, chosen, radius), random, radius)


def coverage(units: np.ndarray, chosen: np.ndarray, radius: float) -> Coverage:
    """How near all images are to the chosen ones; takes O(N n D), in blocks.

    Args:
        units: float32 [N, D], of length 1.
        chosen: int [n], rows.
        radius: The typical distance of neighbours.
    """
    nearest = np.empty(len(units))
    step = max(_PRODUCTS // len(chosen), 1)
    centers = units[chosen].T
    for start in range(0, len(units), step):
        cosines = (units[start : start + step] @ centers).max(axis=1)
        nearest[start : start + step] = np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0))
    nearest[chosen] = 0
    return Coverage(float(nearest.max()), float(nearest.mean()), float((nearest <= radius).mean()))


def _typical(units, distances, size, seed):
    """The most typical image of each of n clusters, the largest cluster first, int64 [n]."""
    if size == len(units):
        return np.argsort(distances, kind="stable")
    with threadpoolctl.threadpool_limits(1, "blas"):
        clusters = MiniBatchKMeans(size, batch_size=4096, n_init=1, random_state=seed).fit(units)
    labels = np.concatenate(
        [clusters.predict(units[i : i + _BLOCK]) for i in range(0, len(units), _BLOCK)]
    )
    counts = np.bincount(labels, minlength=size)
    order = np.lexsort((distances, labels))
    # The rank of each image in its cluster: first all first ones; second ones for empty clusters.
    place = np.empty(len(units), np.int64)
    place[order] = np.arange(len(units)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((distances, -counts[labels], place))[:size]


def _unit_copy(features, rows):
    units = np.empty((len(rows), features.shape[1]), np.float32)
    for start in range(0, len(rows), _BLOCK):
        units[start : start + _BLOCK] = unit_rows(features[rows[start : start + _BLOCK]])
    return units
