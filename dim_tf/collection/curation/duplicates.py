"""Groups of near duplicates: candidates by features, confirmed by pixels.

Candidates are pairs of an image and one of its nearest neighbours whose similarity reaches a
threshold. If pixels can confirm them, the threshold is the one that augmented copies of the images
reach at the wanted recall; it therefore differs between encoders, and no fixed number would do.
Without pixels, it is also at least the similarity that images which are not copies reach at the
given rate, by the tail of the nearest similarities (`tail.py`). Confirmed pairs are joined into
groups.
"""

from dataclasses import dataclass

import numpy as np

from dim_tf.collection.curation.alignment import COPY_DISTANCE, ThumbnailCache
from dim_tf.collection.curation.match_rates import (
    CopyFeatures,
    PixelRates,
    Rate,
    measure_pixel_rates,
    random_similarities,
    recall_by_kind,
)
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.curation.tail import START, fit_tail
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.data.folder.partition import Partition

_EXACT = 1e-6  # what rounding takes from the cosine of equal features


@dataclass(frozen=True)
class DuplicatePairs:
    """P pairs of near duplicates, the most similar first.

    Attributes:
        first: int64 [P], the smaller row of each pair.
        second: int64 [P], the larger row.
        similarities: float32 [P], similarities of the features.
        distances: float32 [P], distances of the pixels; NaN if they were not compared.
        is_mirrored: bool [P].
        is_cropped: bool [P].
    """

    first: np.ndarray
    second: np.ndarray
    similarities: np.ndarray
    distances: np.ndarray
    is_mirrored: np.ndarray
    is_cropped: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def only(self, chosen: np.ndarray) -> "DuplicatePairs":
        """Some of the pairs; chosen: bool [P]."""
        return DuplicatePairs(*(getattr(self, name)[chosen] for name in self.__annotations__))


@dataclass(frozen=True)
class Duplicates:
    """Near duplicates among N images, and how reliable the search for them is.

    Attributes:
        pairs: Pairs of near duplicates.
        groups: int64 [N], numbered from 0 by size, the largest first; -1: no duplicate.
        keepers: int64 [groups], the image with the most pixels in each group, or its first row.
        threshold: Smallest similarity of candidates.
        candidates: Number of pairs that reach it.
        is_limited: Whether the threshold was raised so as to have no more candidates than allowed.
        is_confirmed: Whether candidates were compared by pixels.
        recall: Recall of augmented copies, by kind; empty if there are none.
        random_rate: Fraction of random pairs whose similarity reaches the threshold.
        nearest_rate: Fraction of images whose nearest neighbour that is not a copy reaches the
            threshold. Without pixels, the fraction that the tail predicts for all images.
        pixel_rates: How often the comparison by pixels errs; None if pixels are not compared.
        expected_false: Expected number of pairs that are not duplicates: with pixels, by the rate
            of `alike` for the refused candidates, which is an upper estimate; without, the number
            of images by the tail.
        most_false: The same, by the upper limit of that rate.
    """

    pairs: DuplicatePairs
    groups: np.ndarray
    keepers: np.ndarray
    threshold: float
    candidates: int
    is_limited: bool
    is_confirmed: bool
    recall: dict[str, float]
    random_rate: Rate
    nearest_rate: Rate
    pixel_rates: PixelRates | None
    expected_false: float
    most_false: float

    @property
    def redundant(self) -> np.ndarray:
        """Whether an image is a duplicate but not the keeper of its group, bool [N]."""
        is_redundant = self.groups >= 0
        is_redundant[self.keepers] = False
        return is_redundant


def find_duplicates(
    images: EmbeddedImages,
    neighbours: NeighbourLists,
    cache: ThumbnailCache | None,
    copies: CopyFeatures | None = None,
    *,
    recall: float,
    false_rate: float,
    max_candidates: int,
    max_distance: float = COPY_DISTANCE,
    seed: int = 0,
) -> Duplicates:
    """Finds near duplicates.

    Reads the images of all candidates, one after another.

    Args:
        images: N images.
        neighbours: Nearest neighbours of the images.
        cache: Thumbnails of the images; None: pixels are not compared.
        copies: Features of augmented copies.
        recall: Wanted recall of the augmented copies, by their similarities.
        false_rate: Without pixels, the fraction of images whose nearest other image may be a false
            match.
        max_candidates: Largest number of pairs that are compared, the most similar ones.
        max_distance: Largest distance of the pixels of copies.
        seed: Seed of the samples.
    """
    rng = np.random.default_rng(seed)
    copy_similarities = None if copies is None else copies.similarities(images.features)
    wanted = _threshold(neighbours, copy_similarities, recall, false_rate, cache is not None)
    first, second, similarities = neighbours.pairs(wanted)
    is_limited = len(first) > max_candidates
    first, second, similarities = (a[:max_candidates] for a in (first, second, similarities))
    threshold = float(similarities[-1]) if is_limited else wanted
    pairs = _compare(cache, first, second, similarities)
    candidates, rates = len(pairs), None
    if cache is not None:
        pairs = pairs.only(pairs.distances <= max_distance)
    groups = _groups(len(neighbours), pairs)
    if cache is not None:
        rates = measure_pixel_rates(
            cache, images.read_image, neighbours, groups, copies, max_distance, rng
        )
    random = random_similarities(images.features, groups, rng)
    nearest_rate = _nearest_rate(neighbours, rates, threshold)
    found_recall = {}
    if copies is not None and copy_similarities is not None:
        confirmed = None if rates is None else rates.confirmed_copies
        found_recall = recall_by_kind(copies, copy_similarities, neighbours, threshold, confirmed)
    return Duplicates(
        pairs,
        groups,
        _keepers(groups, cache),
        threshold,
        candidates,
        is_limited,
        cache is not None,
        found_recall,
        Rate(int((random >= threshold).sum()), len(random)),
        nearest_rate,
        rates,
        *_expected_false(candidates, len(pairs), rates, nearest_rate),
    )


def _threshold(neighbours, copy_similarities, recall, false_rate, is_confirmed):
    """The similarity that candidates must reach."""
    nearest = neighbours.similarities[:, 0]
    threshold = -1.0
    if copy_similarities is not None:
        threshold = float(np.quantile(copy_similarities, 1 - recall))
    elif is_confirmed:  # a fifth of the images have a candidate
        threshold = float(np.quantile(nearest, START))
    if not is_confirmed:
        tail = fit_tail(nearest)
        threshold = max(threshold, 1.0 if tail is None else tail.value_of(false_rate))
    return min(threshold, 1 - _EXACT)


def _compare(cache, first, second, similarities):
    if cache is None:
        nothing = np.zeros(len(first), bool)
        distances = np.full(len(first), np.nan, np.float32)
        return DuplicatePairs(first, second, similarities, distances, nothing, nothing)
    aligned = cache.align(first, second)
    return DuplicatePairs(
        first, second, similarities, aligned.distances, aligned.is_mirrored, aligned.is_cropped
    )


def _groups(count, pairs):
    """The number of each image's group, the largest group first; -1 for no group."""
    partition = Partition(count)
    partition.join(pairs.first, pairs.second)
    _, labels, sizes = np.unique(partition.labels, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 1]
    number = np.full(len(sizes), -1)
    number[order] = np.arange(len(order))
    return number[labels]


def _keepers(groups, cache):
    members = np.flatnonzero(groups >= 0)
    if cache is None:
        pixels = np.zeros(len(members))
    else:
        pixels = np.array([np.prod(cache.shape(row)) for row in members.tolist()])
    order = np.lexsort((members, -pixels, groups[members]))
    _, firsts = np.unique(groups[members[order]], return_index=True)
    return members[order][firsts]


def _nearest_rate(neighbours, rates, threshold):
    if rates is not None:
        return Rate(int((rates.nearest_other >= threshold).sum()), len(rates.nearest_other))
    tail = fit_tail(neighbours.similarities[:, 0])
    count = len(neighbours)
    expected = count if tail is None else count * tail.survival(np.array([threshold]))[0]
    return Rate(round(float(expected)), count)


def _expected_false(candidates, confirmed, rates, nearest_rate):
    """The expected number of false matches, and its upper limit."""
    if rates is None:
        return nearest_rate.value * nearest_rate.trials, nearest_rate.upper * nearest_rate.trials
    refused = candidates - confirmed
    return tuple(
        min(refused * false / max(1 - false, 1e-9), float(confirmed))
        for false in (rates.alike.value, rates.alike.upper)
    )
