"""A validation split: training images that replace the test images."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from dim_tf.data.splits import Images, Split, Splits
from dim_tf.system.errors import InputError

_SEED = 0  # of the choice; the same images are held out from every run


@dataclass(frozen=True)
class ImageSubset:
    """Some of the images of a source that is not in memory.

    Attributes:
        images: All of the images.
        indices: int64 [N].
    """

    images: Images
    indices: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.indices), *self.images.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.images.dtype

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        return self.images[self.indices[indices]]


def hold_out(splits: Splits, fraction: float) -> Splits:
    """Holds training images out; the data set's own test images are then not used at all.

    Args:
        splits: The data set.
        fraction: Fraction of the training images; of those with labels if only some have them. 0:
            the data set is returned unchanged.

    Returns:
        A data set whose test images are those held out, drawn at random with a fixed seed. Groups
        (`Split.groups`) are held out whole, so there may be slightly fewer images.

    Raises:
        InputError: There would be none, or no others.
    """
    if not fraction:
        return splits
    training = splits.labelled or splits.train
    count = round(fraction * len(training))
    if not 0 < count < len(training):
        raise InputError(
            f"--validation_fraction={fraction} of {len(training)} training images are {count}; "
            "give a fraction that leaves some on both sides"
        )
    groups = np.arange(len(training)) if training.groups is None else training.groups
    is_held_out = draw_groups(groups, count, _SEED)
    if not is_held_out.any():
        raise InputError(
            f"--validation_fraction={fraction} of {len(training):,} training images are {count:,}, "
            "and each group that stays together is larger; give a larger fraction, or "
            "--group_by=none"
        )
    held_out, rest = (
        select(training, np.flatnonzero(part)) for part in (is_held_out, ~is_held_out)
    )
    note = (
        f"{splits.note} Held out: {len(held_out):,} of the {len(training):,} "
        f"{'labelled ' if splits.labelled else ''}training images are the test images here."
    )
    if splits.labelled:
        return dataclasses.replace(splits, test=held_out, note=note, labelled=rest)
    return dataclasses.replace(splits, test=held_out, note=note, train=rest)


def draw_groups(groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which images are drawn, bool [N]: at most `count`, with groups kept whole.

    Args:
        groups: int [N], the group of each image.
        count: Number of images.
        seed: Seed of the draw.
    """
    # Numbered in order of appearance: if each image is a group, images are drawn.
    _, first, numbers = np.unique(groups, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))[numbers]
    sizes = np.bincount(numbers)
    is_drawn = np.zeros(len(sizes), bool)
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        if sizes[group] <= count:
            is_drawn[group] = True
            count -= sizes[group]
    return is_drawn[numbers]


def select(split: Split, indices: np.ndarray) -> Split:
    """Some of the images of a split, int64 [N]; those in memory are copied."""
    return Split(
        _select_images(split.images, indices),
        None if split.labels is None else split.labels[indices],
        None if split.uncropped is None else _select_images(split.uncropped, indices),
        None if split.groups is None else split.groups[indices],
    )


def _select_images(images: Images, indices: np.ndarray) -> Images:
    return images[indices] if isinstance(images, np.ndarray) else ImageSubset(images, indices)
