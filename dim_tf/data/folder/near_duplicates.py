"""Finds near duplicates among many images: by perceptual hashes, confirmed by their thumbnails.

Hashes of 64 bits that differ in at most 7 bits agree in all but one bit of one of their four
quarters (otherwise each quarter would have two that differ). So the candidates of an image are
those under 4 · 17 keys of 16 bits: multi-index hashing (Norouzi et al., 2012,
https://arxiv.org/abs/1307.2982). Candidates that are already in the same set are not compared. If
images are so alike that most of them are candidates of most others, only hashes that differ in at
most 3 bits are compared, which agree in a quarter, or only equal ones.
"""

from collections.abc import Iterator

import numpy as np

from dim_tf.data.folder.partition import Partition
from dim_tf.data.folder.perceptual_hash import THUMBNAIL_SIDE

MAX_DIFFERENT_BITS = 7
NEAR_DISTANCE = 0.3  # in units of `typical_distance`; thumbnails then correlate by 0.95 or more
_QUARTERS, _QUARTER_BITS = 4, 16
_MIN_CONTRAST = 2.0  # gray levels; below this, differences are noise
_MIDDLE = np.uint8(128)  # of the gray levels
_ROUNDING = 1e-4  # of a bound
_SAMPLED_PAIRS = 20_000
# Limits on pairs of hashes: those with a key in common, and those that differ in few bits but whose
# thumbnails are not near, which take a hundred times as long. More would take minutes.
_MAX_CANDIDATES, _MAX_FALSE = 4e9, 2e7
# Steps of the unit, so that a few more images do not change what is near; 1 for most folders.
_UNITS = 0.75 ** np.arange(8)
_BLOCK_PAIRS = 2**21  # candidate pairs at a time
_COMPARED_PAIRS = 2**14  # thumbnails that are compared at a time
_FEW_PAIRS = 2**10  # of the images of two hashes; more are compared by a matrix product
_ROWS = 2**8  # of such a product at a time, and its columns
_COLUMNS = 2**14


class Thumbnails:
    """Thumbnails, and distances between them.

    The mean of a thumbnail is subtracted and its contrast divided out, so that another exposure of
    a picture is near it but other colours are not. The distance is the root mean square of the
    remaining difference: √(2 - 2 ρ) for a correlation ρ. A thumbnail without contrast is only
    centred at the middle of the levels, so that its brightness counts.

    Args:
        pixels: uint8 [N, THUMBNAIL_BYTES].
    """

    def __init__(self, pixels: np.ndarray):
        count = len(pixels)
        # Centred on 0, so that sums of products are whole numbers below 2²⁴, which float32 holds
        # exactly.
        self._centered = np.bitwise_xor(pixels, _MIDDLE).view(np.int8)  # pixels - _MIDDLE
        self._sums = self._centered.sum(axis=1, dtype=np.float64)
        self._shifts = np.empty(count)
        self._contrasts = np.empty(count)  # in gray levels
        self._powers = np.empty(count)  # sums of squares of the standardised thumbnail
        self._colors = np.empty((count, 3), np.float32)  # means of its channels
        for start in range(0, count, _COMPARED_PAIRS):
            block = slice(start, start + _COMPARED_PAIRS)
            values = self._centered[block].astype(np.float64)
            contrasts = values.std(axis=1)
            is_flat = contrasts < _MIN_CONTRAST
            self._shifts[block] = np.where(is_flat, 0, values.mean(axis=1))
            self._contrasts[block] = np.where(is_flat, _MIN_CONTRAST, contrasts)
            values -= self._shifts[block, np.newaxis]
            values /= self._contrasts[block, np.newaxis]
            self._powers[block] = np.einsum("ij,ij->i", values, values)
            self._colors[block] = values.reshape(-1, THUMBNAIL_SIDE**2, 3).mean(axis=1)

    def __len__(self) -> int:
        return len(self._centered)

    def distances(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The distances of pairs, float32 [M].

        Args:
            first: int [M].
            second: int [M].
        """
        products = np.empty(len(first), np.float32)
        for start in range(0, len(first), _COMPARED_PAIRS):
            block = slice(start, start + _COMPARED_PAIRS)
            a, b = self._centered[first[block]].astype(np.float32), self._centered[second[block]]
            products[block] = np.einsum("ij,ij->i", a, b)
        return self._distances(first, second, products).astype(np.float32)

    def all_distances(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The distance of each of some thumbnails from each of others, float64 [M, K].

        Args:
            rows: int [M].
            columns: int [K].
        """
        a, b = (self._centered[images].astype(np.float32) for images in (rows, columns))
        return self._distances(rows[:, np.newaxis], columns, a @ b.T)

    def _distances(self, first, second, products) -> np.ndarray:
        """Distances from sums of products of centered pixels: (x - s)/c · (y - t)/d, expanded."""
        size = self._centered.shape[1]
        s, t = self._shifts[first], self._shifts[second]
        products = products - t * self._sums[first] - s * self._sums[second] + size * s * t
        products /= self._contrasts[first] * self._contrasts[second]
        squares = self._powers[first] + self._powers[second] - 2 * products
        return np.sqrt(np.maximum(squares, 0) / size)

    def may_be_within(self, first: np.ndarray, second: np.ndarray, distance: float) -> np.ndarray:
        """False if the mean colours alone are too far apart, a quick bound; bool [M]."""
        gap = self._colors[first] - self._colors[second]
        return np.square(gap).mean(axis=1) <= distance**2 * (1 + _ROUNDING)

    def typical_distance(self) -> float:
        """The median distance of random pairs, rounded down to a step of `_UNITS`."""
        if len(self) < 2:
            return float(_UNITS[0])
        rng = np.random.default_rng(0)
        first, second = rng.integers(0, len(self), (2, _SAMPLED_PAIRS))
        different = first != second
        median = np.median(self.distances(first[different], second[different]))
        return float(max((unit for unit in _UNITS if unit <= median), default=_UNITS[-1]))


def join_near_duplicates(
    partition: Partition, hashes: np.ndarray, thumbnails: Thumbnails, distance: float
) -> None:
    """Joins images whose hashes differ in few bits and whose thumbnails are alike.

    Args:
        partition: Partition of the images, in which near duplicates are joined.
        hashes: uint8 [N, HASH_BYTES].
        thumbnails: Thumbnails of the images.
        distance: Largest distance of near duplicates' thumbnails.
    """
    if not len(hashes):
        return
    numbers = np.ascontiguousarray(hashes).view(np.uint64).ravel()
    values, hash_of = np.unique(numbers, return_inverse=True)
    members = np.argsort(hash_of, kind="stable")
    starts = np.searchsorted(hash_of[members], np.arange(len(values) + 1))
    comparison = _Comparison(partition, thumbnails, distance, members, starts)
    every = np.arange(len(values))
    comparison.compare(every, every)
    max_bits = _max_bits(values, members[starts[:-1]], thumbnails, distance)
    if not max_bits:
        return
    for first, second in _candidates(values, max_bits // _QUARTERS):
        different = np.bitwise_count(values[first] ^ values[second])
        near = different <= max_bits
        comparison.compare(first[near], second[near])


def _max_bits(values, images, thumbnails, distance):
    """How many bits of hashes may differ so that not too many pairs are compared: 7, 3 or 0.

    Args:
        values: uint64 [V], all different.
        images: int [V], one image of each hash.
        thumbnails: Thumbnails of the images.
        distance: Largest distance of near duplicates.
    """
    first, second = np.random.default_rng(0).integers(0, len(values), (2, _SAMPLED_PAIRS))
    apart = first != second
    first, second = first[apart], second[apart]
    pairs = len(values) * (len(values) - 1) / 2
    differences = (values[first] ^ values[second])[:, np.newaxis]
    bits = np.bitwise_count(differences.view(f"u{_QUARTER_BITS // 8}"))  # [M, _QUARTERS]
    is_far = thumbnails.distances(images[first], images[second]) > distance
    for most in (MAX_DIFFERENT_BITS, _QUARTERS - 1):
        candidates = (bits <= most // _QUARTERS).sum() / max(len(first), 1)
        false = (is_far & (bits.sum(axis=1) <= most)).sum() / max(len(first), 1)
        if pairs * candidates <= _MAX_CANDIDATES and pairs * false <= _MAX_FALSE:
            return most
    return 0


def _candidates(values: np.ndarray, max_bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of hashes with a quarter that differs in few bits; some occur more than once.

    Args:
        values: uint64 [V], all different.
        max_bits: Bits of the quarter that may differ, 0 or 1.
    """
    flips = np.array([0, *(max_bits << bit for bit in range(_QUARTER_BITS))], np.int64)
    flips = np.unique(flips)
    for quarter in range(_QUARTERS):
        shifted = values >> np.uint64(quarter * _QUARTER_BITS)
        keys = (shifted & np.uint64(2**_QUARTER_BITS - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(2**_QUARTER_BITS + 1))
        for flip in flips:
            flipped = keys ^ flip
            counts = starts[flipped + 1] - starts[flipped]
            for rows in _blocks(counts, _BLOCK_PAIRS):
                first = np.repeat(rows, counts[rows])
                second = order[_ranges(starts[flipped[rows]], counts[rows])]
                once = first < second
                yield first[once], second[once]


class _Comparison:
    """Compares the images of pairs of hashes, and joins those that are near.

    Args:
        partition: Partition of the images.
        thumbnails: Thumbnails of the images.
        distance: Largest distance of near duplicates.
        members: int64 [N], the images in the order of their hashes.
        starts: int64 [V + 1], where the images of each hash start in `members`.
    """

    def __init__(self, partition, thumbnails, distance, members, starts):
        self.partition = partition
        self.thumbnails = thumbnails
        self.distance = distance
        self.members = members
        self.starts = starts
        self.counts = np.diff(starts)

    def compare(self, first, second):
        """Compares all images of one hash of each pair with all images of the other."""
        products = self.counts[first] * self.counts[second]
        some = np.flatnonzero((products > 1) | (first != second))
        some = some[~self._all_joined(first[some], second[some])]
        few = some[products[some] <= _FEW_PAIRS]
        for block in _blocks(products[few], _BLOCK_PAIRS):
            self._compare_few(first[few[block]], second[few[block]])
        for pair in some[products[some] > _FEW_PAIRS]:
            self._compare_many(*(self._members_of(hashes[pair]) for hashes in (first, second)))

    def _members_of(self, value):
        return self.members[self.starts[value] : self.starts[value + 1]]

    def _all_joined(self, first, second):
        """Whether the images of both hashes are in one set, bool [M]."""
        labels = self.partition.labels[self.members]
        lowest = np.minimum.reduceat(labels, self.starts[:-1])
        highest = np.maximum.reduceat(labels, self.starts[:-1])
        first_label = np.minimum(lowest[first], lowest[second])
        return first_label == np.maximum(highest[first], highest[second])

    def _compare_few(self, first, second):
        firsts = self.counts[first]
        # Each image of the first hash with all images of the second.
        pair = np.repeat(np.arange(len(first)), firsts)
        a = self.members[_ranges(self.starts[first], firsts)]
        seconds = self.counts[second][pair]
        b = self.members[_ranges(self.starts[second][pair], seconds)]
        a = np.repeat(a, seconds)
        for start in range(0, len(a), 2 * _COMPARED_PAIRS):
            block = slice(start, start + 2 * _COMPARED_PAIRS)
            self._join_near(a[block], b[block])

    def _join_near(self, a, b):
        apart = ~self.partition.are_joined(a, b)
        a, b = a[apart], b[apart]
        possible = self.thumbnails.may_be_within(a, b, self.distance)
        a, b = a[possible], b[possible]
        near = self.thumbnails.distances(a, b) <= self.distance
        self.partition.join(a[near], b[near])

    def _compare_many(self, a, b):
        for top in range(0, len(a), _ROWS):
            rows = a[top : top + _ROWS]
            for left in range(0, len(b), _COLUMNS):
                columns = b[left : left + _COLUMNS]
                labels = self.partition.labels
                if np.ptp(np.concatenate((labels[rows], labels[columns]))) == 0:
                    continue
                near = self.thumbnails.all_distances(rows, columns) <= self.distance
                row, column = np.nonzero(near)
                self.partition.join(rows[row], columns[column])


def _blocks(counts: np.ndarray, limit: int) -> Iterator[np.ndarray]:
    """Indices of successive entries whose counts sum to at most `limit`, or of a single one."""
    sums = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = sums[start - 1] if start else 0
        stop = max(int(np.searchsorted(sums, before + limit, "right")), start + 1)
        yield np.arange(start, stop)
        start = stop


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... for each entry, `count` numbers, int64 [sum of counts]."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - before, counts)
