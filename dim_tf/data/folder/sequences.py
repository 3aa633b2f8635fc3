"""Finds numbered sequences: images whose names differ in one number and whose neighbours are alike.

Frames of a video and bursts are such sequences. The photographs of a camera are numbered, too, but
are not alike. So each image is compared with the next by number, and numbers alone join nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from dim_tf.data.folder.near_duplicates import Thumbnails
from dim_tf.data.folder.partition import Partition

SEQUENCE_DISTANCE = 0.6  # in units of the typical distance; thumbnails then correlate by 0.8
WHOLE_FRACTION = 0.5  # of the neighbours are alike: the series is one video, cuts included
MIN_SERIES = 4  # images, for that
NUMBERS = 2  # last numbers in a path that count: of a frame and its clip; of a tile, x and y
_NUMBER = re.compile(r"\d+")
_LARGEST_NUMBER = 2**63 - 1


def natural_key(name: str) -> str:
    """A key that sorts names with frame_9 before frame_10."""
    return _NUMBER.sub(lambda number: number[0].zfill(20), name)


@dataclass(frozen=True)
class Neighbours:
    """Images whose names differ only in one number, each with the next by number.

    Attributes:
        first: int64 [M], indices of images.
        second: int64 [M], indices of the next images.
        series: int64 [M], ascending: which pairs belong to one series of names.
    """

    first: np.ndarray
    second: np.ndarray
    series: np.ndarray


def numbered_neighbours(names: Sequence[str]) -> Neighbours:
    """The neighbours by number.

    Args:
        names: Names of the images, relative to their folder, with "/".
    """
    keys, numbers, indices = [], [], []
    for index, name in enumerate(names):
        stem = name.removesuffix(PurePosixPath(name).suffix)
        for match in list(_NUMBER.finditer(stem))[-NUMBERS:]:
            keys.append(hash((stem[: match.start()], stem[match.end() :])))
            numbers.append(min(int(match[0]), _LARGEST_NUMBER))
            indices.append(index)
    images = np.array(indices, np.int64)
    ranks = np.empty(len(names), np.int64)  # 1.jpg before 1.png
    ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    _, series = np.unique(np.array(keys, np.int64), return_inverse=True)
    order = np.lexsort((ranks[images], np.array(numbers, np.int64), series))
    images, series = images[order], series[order]
    same = series[1:] == series[:-1]
    return Neighbours(images[:-1][same], images[1:][same], series[1:][same])


def join_sequences(
    partition: Partition,
    names: Sequence[str],
    thumbnails: Thumbnails,
    distance: float,
    max_images: int,
) -> None:
    """Joins neighbours by number that are alike, and whole series if most of them are.

    Args:
        partition: Partition of the images, in which sequences are joined.
        names: Names of the images.
        thumbnails: Thumbnails of the images.
        distance: Largest distance of neighbours' thumbnails.
        max_images: A series with more images is joined only where its neighbours are alike.
    """
    pairs = numbered_neighbours(names)
    alike = thumbnails.distances(pairs.first, pairs.second) <= distance
    count = np.bincount(pairs.series)
    fraction = np.bincount(pairs.series, weights=alike) / np.maximum(count, 1)
    is_whole = (fraction >= WHOLE_FRACTION) & (count + 1 >= MIN_SERIES) & (count < max_images)
    joined = alike | is_whole[pairs.series]
    partition.join(pairs.first[joined], pairs.second[joined])
