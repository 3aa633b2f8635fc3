"""A validation split: training images that take the place of the test images."""

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
        images: all of them.
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
        splits: the data set.
        fraction: of the training images, of those with labels where only some have them; 0: the
            data set is returned as it is.

    Returns:
        A data set whose test images are those held out, drawn at random by a fixed seed.

    Raises:
        InputError: they are none, or all.
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
    order = np.random.default_rng(_SEED).permutation(len(training))
    held_out, rest = (_select(training, np.sort(part)) for part in (order[:count], order[count:]))
    note = (
        f"{splits.note} Held out: {count:,} of the {len(training):,} "
        f"{'labelled ' if splits.labelled else ''}training images are the test images here."
    )
    if splits.labelled:
        return dataclasses.replace(splits, test=held_out, note=note, labelled=rest)
    return dataclasses.replace(splits, test=held_out, note=note, train=rest)


def _select(split: Split, indices: np.ndarray) -> Split:
    return Split(
        _select_images(split.images, indices),
        None if split.labels is None else split.labels[indices],
        None if split.uncropped is None else _select_images(split.uncropped, indices),
    )


def _select_images(images: Images, indices: np.ndarray) -> Images:
    return images[indices] if isinstance(images, np.ndarray) else ImageSubset(images, indices)
