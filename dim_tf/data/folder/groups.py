"""Groups of images that a split keeps together: near duplicates, sequences, or the user's own.

docs/DATA.md states the rules.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dim_tf.data import group_by
from dim_tf.data.folder.file_bytes import DIGEST_BYTES
from dim_tf.data.folder.manifest import Manifest
from dim_tf.data.folder.near_duplicates import NEAR_DISTANCE, Thumbnails, join_near_duplicates
from dim_tf.data.folder.partition import Partition
from dim_tf.data.folder.report import printable
from dim_tf.data.folder.sequences import SEQUENCE_DISTANCE, join_sequences, natural_key
from dim_tf.system.errors import InputError

_KINDS = {
    group_by.AUTO: "of near duplicates and numbered sequences",
    group_by.NONE: "",
    group_by.FOLDER: "by the images' folders",
    group_by.NEAR_DUPLICATES: "of near duplicates",
}


# A larger set of near duplicates is a chain of images of one kind, each like the next: T-shirts on
# black, pages of text. Then the distance is reduced in steps until the sets are smaller.
LARGEST_SET = 0.05  # of the images
LARGEST_SMALL_SET = 50  # images: in a small folder, one burst
STRICTER = 0.75 ** np.arange(8)


@dataclass(frozen=True)
class ImageGroups:
    """Groups of N images; an image that belongs with no other is a group by itself.

    Attributes:
        numbers: int64 [N], the group of each image, counted from 0.
        digests: uint8 [N, D], digest of each image's group; groups with the lowest digests are for
            the test.
        near_duplicates: int64 [N], the set of near duplicates of each image.
        kind: What the groups are, for the line that starts with `data:`.
        unmatched: How many paths the pattern does not match; each such image is a group.
    """

    numbers: np.ndarray
    digests: np.ndarray
    near_duplicates: np.ndarray
    kind: str
    unmatched: int = 0

    @property
    def sizes(self) -> np.ndarray:
        """Number of images in each group, int64 [G]."""
        return np.bincount(self.numbers)

    def select(self, indices: np.ndarray) -> "ImageGroups":
        """The groups of some of the images, int [M]."""
        _, numbers = np.unique(self.numbers[indices], return_inverse=True)
        near = self.near_duplicates[indices]
        return ImageGroups(numbers, self.digests[indices], near, self.kind, self.unmatched)


def group_images(mode: str, images: Manifest) -> ImageGroups:
    """Groups images.

    Args:
        mode: The setting `group_by`.
        images: Distinct images.

    Raises:
        InputError: `mode` does not fit the images' paths.
    """
    thumbnails = Thumbnails(images.thumbnails)
    near, factor = _near_duplicates(images.hashes, thumbnails)
    names = images.names
    pattern = group_by.parse(mode)
    if pattern or mode == group_by.FOLDER:
        keys = _keys_by_pattern(pattern, names) if pattern else _keys_by_folder(names)
        return _group_by_key(keys, images, near, mode)
    partition = near.copy() if mode != group_by.NONE else Partition(len(images))
    if mode == group_by.AUTO:
        limit = len(images) // 2
        distance = SEQUENCE_DISTANCE * thumbnails.typical_distance() * factor
        join_sequences(partition, names, thumbnails, distance, limit)
    numbers = _renumbered(partition.labels)
    first = _first_by_name(names, numbers)
    digests = images.pixel_digests[first[numbers]]
    kind = _KINDS[mode]
    if kind and factor < 1:
        kind += f" (at {factor:.2f} of the usual distance, since many images are alike)"
    return ImageGroups(numbers, digests, near.labels, kind)


def _near_duplicates(hashes, thumbnails):
    """Sets of near duplicates, and by which of `STRICTER` their distance was multiplied."""
    largest = max(LARGEST_SET * len(hashes), LARGEST_SMALL_SET)
    distance = NEAR_DISTANCE * thumbnails.typical_distance()
    for factor in STRICTER:
        near = Partition(len(hashes))
        join_near_duplicates(near, hashes, thumbnails, distance * factor)
        if np.bincount(near.labels, minlength=1).max() <= largest:
            break
    return near, float(factor)


def describe_groups(groups: ImageGroups, names: Sequence[str]) -> dict[str, Any]:
    """Counts of the groups of several images, for data.json.

    Args:
        groups: Groups of the images.
        names: Names of the images.
    """
    sizes = groups.sizes
    if not len(sizes) or sizes.max() < 2:
        return {"groups": 0, "grouped_images": 0, "largest_group": {}}
    largest = int(sizes.argmax())
    members = [names[index] for index in np.flatnonzero(groups.numbers == largest).tolist()]
    return {
        "groups": int((sizes > 1).sum()),
        "grouped_images": int(sizes[sizes > 1].sum()),
        "largest_group": {
            "images": int(sizes[largest]),
            "first": printable(min(members, key=natural_key)),
        },
    }


def count_separated_pairs(numbers: np.ndarray, is_test: np.ndarray) -> int:
    """How many pairs of images in the same group a split separates.

    Args:
        numbers: int64 [N], the group of each image.
        is_test: bool [N].
    """
    tests = np.bincount(numbers[is_test], minlength=int(numbers.max(initial=-1)) + 1)
    return int((tests * (np.bincount(numbers) - tests)).sum()) if len(numbers) else 0


def count_tests_near_training(near_duplicates: np.ndarray, is_test: np.ndarray) -> int:
    """How many test images have a near duplicate among the training images.

    Args:
        near_duplicates: int64 [N], the set of each image.
        is_test: bool [N].
    """
    return int(np.isin(near_duplicates[is_test], near_duplicates[~is_test]).sum())


def _keys_by_folder(names):
    folders = [name.rpartition("/")[0] for name in names]
    if len(set(folders)) < 2:
        raise InputError(
            "--group_by=folder keeps the images of a folder together, but all are in one; leave "
            "--group_by out"
        )
    return folders


def _keys_by_pattern(pattern, names):
    """The first group of the pattern in each path; None if there is none, or if it is empty."""
    matches = group_by.first_groups(pattern.pattern, names)
    keys = [match or None for match in matches]
    if not any(keys):
        why = "matches none of"
        if any(match is not None for match in matches):
            why = "matches with an empty first group all of"
        raise InputError(
            f"--group_by={pattern.pattern} {why} the {len(names):,} paths, such as "
            f"{printable(names[0])}; give a pattern whose first group names an image's group"
        )
    return keys


def _group_by_key(keys, images, near, mode):
    """Groups images by keys; digests are hashes of keys, so that further images move no group."""
    number_of: dict[object, int] = defaultdict(lambda: len(number_of))
    numbers = np.empty(len(keys), np.int64)
    digests = images.pixel_digests.copy()
    unmatched = 0
    for index, key in enumerate(keys):
        if key is None:
            numbers[index] = number_of[index]
            unmatched += 1
            continue
        numbers[index] = number_of[key]
        encoded = key.encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).digest()
        digests[index] = np.frombuffer(digest, np.uint8)
    kind = _KINDS.get(mode, f"by --group_by={mode}")
    return ImageGroups(numbers, digests, near.labels, kind, unmatched)


def _renumbered(labels):
    return np.unique(labels, return_inverse=True)[1]


def _first_by_name(names, numbers):
    """The image of each group whose name is first, int64 [G]."""
    sizes = np.bincount(numbers)
    first = np.full(len(sizes), -1, np.int64)
    alone = sizes[numbers] == 1
    first[numbers[alone]] = np.flatnonzero(alone)
    grouped = np.flatnonzero(~alone).tolist()
    for index in sorted(grouped, key=lambda i: natural_key(names[i]), reverse=True):
        first[numbers[index]] = index
    return first
