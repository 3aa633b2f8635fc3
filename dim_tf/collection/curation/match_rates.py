"""How often the two tests of a near duplicate err: similarity of features, and pixels.

Both are measured on the collection itself, on a sample of its images:

- recall, on augmented copies of the sample: the fraction whose similarity reaches the threshold,
  that would be on the original's list of neighbours, and that the pixels confirm;
- false matches of the similarity: for random pairs, and for each image and the nearest image that
  is not its copy by the pixels;
- false matches of the pixels: for random pairs, and for each image and the last on its list of
  neighbours, which is similar but seldom a copy, so that this rate is an upper estimate. Pairs
  within one group of duplicates are left out.

Each false-match rate has an upper limit at 95 % (Clopper & Pearson 1934).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.stats

from dim_tf.collection.curation import alignment
from dim_tf.collection.curation.alignment import ThumbnailCache
from dim_tf.collection.curation.copies import augmented_copy
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.unit_rows import BLOCK_BYTES, unit_rows
from dim_tf.system.errors import InputError

RANDOM_PAIRS = 200_000  # whose similarity is computed
COMPARED_PAIRS = 3_000  # of these, compared by pixels
_FEW_ROWS = 2**11  # with fewer rows it is faster to compute all pairs than those drawn
SAMPLE = 400  # images whose neighbours are compared


@dataclass(frozen=True)
class CopyFeatures:
    """Features of augmented copies of some of the images.

    Attributes:
        rows: int64 [M], the originals.
        kinds: Kinds of the copies, names of `copies.KINDS`.
        features: float32 [M, len(kinds), D].

    Raises:
        InputError: The arrays do not fit together.
    """

    rows: np.ndarray
    kinds: tuple[str, ...]
    features: np.ndarray

    def __post_init__(self):
        expected = len(self.rows), len(self.kinds)
        if self.features.ndim != 3 or self.features.shape[:2] != expected or 0 in expected:
            raise InputError(
                f"copies' features have the shape {self.features.shape}; expected [images, kinds, "
                f"D] of {len(self.rows)} images and {len(self.kinds)} kinds"
            )

    def similarities(self, features: np.ndarray) -> np.ndarray:
        """The cosine of each copy with its original, float32 [M, len(kinds)].

        Args:
            features: float32 [N, D], features of the collection.
        """
        originals = unit_rows(features[self.rows])
        by_kind = [
            np.einsum("md,md->m", unit_rows(self.features[:, kind]), originals)
            for kind in range(len(self.kinds))
        ]
        return np.stack(by_kind, axis=1)


@dataclass(frozen=True)
class Rate:
    """A rate of events.

    Attributes:
        events: Number of events.
        trials: Number of trials.
    """

    events: int
    trials: int

    @property
    def value(self) -> float:
        """The observed fraction, 0 without trials."""
        return self.events / max(self.trials, 1)

    @property
    def upper(self) -> float:
        """The one-sided upper limit of the rate at 95 %."""
        if self.events >= self.trials:
            return 1.0
        return float(scipy.stats.beta.ppf(0.95, self.events + 1, self.trials - self.events))

    def summary(self) -> dict[str, float]:
        """The rate as in curation.json."""
        return {
            "matches": self.events,
            "pairs": self.trials,
            "rate": round(self.value, 8),
            "upper_95": round(self.upper, 8),
        }


@dataclass(frozen=True)
class PixelRates:
    """How often the comparison by pixels errs, regardless of similarity.

    Attributes:
        random: Rate of confirmed random pairs.
        alike: Rate of confirmed pairs of an image and the last on its list.
        nearest_other: float32 [S], the similarity of images and their nearest neighbour that is not
            a copy.
        confirmed_copies: bool [M, kinds], augmented copies that are confirmed; None if there are
            none.
    """

    random: Rate
    alike: Rate
    nearest_other: np.ndarray
    confirmed_copies: np.ndarray | None


def random_similarities(
    features: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Cosines of random pairs of images in different groups, float32 [`RANDOM_PAIRS`].

    Args:
        features: float32 [N, D].
        groups: int64 [N], the group of duplicates of each image, -1 for none.
        rng: Draws the pairs; those that are left out are not replaced.
    """
    first, second = rng.integers(0, len(features), (2, min(RANDOM_PAIRS, len(features) ** 2)))
    apart = are_apart(first, second, groups)
    first, second = first[apart], second[apart]
    if len(features) <= _FEW_ROWS:
        units = unit_rows(features)
        return (units @ units.T)[first, second]
    similarities = np.empty(len(first), np.float32)
    step = max(BLOCK_BYTES // (8 * features.shape[1]), 1)
    for start in range(0, len(first), step):
        block = slice(start, start + step)
        pair = (unit_rows(features[rows[block]]) for rows in (first, second))
        similarities[block] = np.einsum("nd,nd->n", *pair)
    return similarities


def are_apart(first: np.ndarray, second: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Whether two images are different and not in the same group of duplicates, bool [P]."""
    return (first != second) & ((groups[first] < 0) | (groups[first] != groups[second]))


def measure_pixel_rates(
    cache: ThumbnailCache,
    read_image: Callable[[int], np.ndarray],
    neighbours: NeighbourLists,
    groups: np.ndarray,
    copies: CopyFeatures | None,
    max_distance: float,
    rng: np.random.Generator,
) -> PixelRates:
    """Compares pairs of a sample of the images; reads about three images for each of the sample.

    Args:
        cache: Thumbnails of the collection.
        read_image: Returns the pixels of a row.
        neighbours: Nearest neighbours of the images.
        groups: int64 [N], the group of duplicates of each image, -1 for none.
        copies: Gives the originals and the kinds.
        max_distance: Largest distance of copies.
        rng: Draws the sample.
    """
    count = len(neighbours)
    sample = rng.choice(count, min(SAMPLE, count), replace=False)
    first, second = rng.choice(sample, (2, COMPARED_PAIRS))
    last = neighbours.rows[sample, -1]
    is_listed = last >= 0

    def confirmed(first, second):
        apart = are_apart(first, second, groups)
        distances = cache.align(first[apart], second[apart]).distances
        return Rate(int((distances <= max_distance).sum()), len(distances))

    return PixelRates(
        confirmed(first, second),
        confirmed(sample[is_listed], last[is_listed]),
        _nearest_other(cache, neighbours, sample, max_distance),
        None if copies is None else _confirmed_copies(cache, read_image, copies, max_distance, rng),
    )


def _nearest_other(cache, neighbours, sample, max_distance):
    """The similarity of each image and its nearest non-copy; images without one are left out."""
    similarities = []
    for column in range(neighbours.k):
        sample = sample[neighbours.rows[sample, column] >= 0]
        distances = cache.align(sample, neighbours.rows[sample, column]).distances
        is_copy = distances <= max_distance
        similarities.append(neighbours.similarities[sample[~is_copy], column])
        sample = sample[is_copy]
        if not len(sample):
            break
    return np.concatenate(similarities)


def _confirmed_copies(cache, read_image, copies, max_distance, rng):
    confirmed = np.zeros((len(copies.rows), len(copies.kinds)), bool)
    thumbnails = np.empty((*confirmed.shape, alignment.SIDE, alignment.SIDE, 3), np.uint8)
    for index, row in enumerate(copies.rows.tolist()):
        image = read_image(row)
        for column, kind in enumerate(copies.kinds):
            thumbnails[index, column] = alignment.thumbnail(augmented_copy(image, kind, rng))
    originals = cache.thumbnails(copies.rows)
    for column in range(len(copies.kinds)):
        distances = alignment.align(originals, thumbnails[:, column]).distances
        confirmed[:, column] = distances <= max_distance
    return confirmed


def recall_by_kind(
    copies: CopyFeatures,
    similarities: np.ndarray,
    neighbours: NeighbourLists,
    threshold: float,
    confirmed: np.ndarray | None,
) -> dict[str, float]:
    """The fraction of augmented copies that are found, by kind.

    A copy would be on its original's list if it is more similar than the last image there.

    Args:
        copies: Features of copies of some images.
        similarities: float32 [M, kinds], similarities of the copies and their originals.
        neighbours: Nearest neighbours of the images.
        threshold: A cosine.
        confirmed: bool [M, kinds], whether pixels confirm the copy; None: pixels are not compared.
    """
    last = np.where(
        neighbours.rows[copies.rows, -1] < 0, -1, neighbours.similarities[copies.rows, -1]
    )
    is_found = similarities >= np.maximum(last[:, np.newaxis], threshold)
    if confirmed is not None:
        is_found &= confirmed
    return {kind: float(is_found[:, i].mean()) for i, kind in enumerate(copies.kinds)}
