"""Some training images in place of the test images, to choose settings by."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from dim_tf.data.splits import Images, Split, Splits
from dim_tf.errors import InputError

_SEED = 0  # of the choice; the same images are held out from every run


@dataclass(frozen=True)
class Rows:
    """Some rows of images that are not in memory.

    Attributes:
        images: all of them.
        rows: int64 [N].
    """

    images: Images
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.images[self.rows[rows]]


def of(splits: Splits, share: float) -> Splits:
    """Holds images out; the data set's own test images are then not used at all.

    Args:
        splits: the data set.
        share: of the training images, of those with labels where only some have them; 0: none, and
            the data set is returned as it is.

    Returns:
        A data set whose test images are those held out, drawn at random by a fixed seed.

    Raises:
        InputError: they are none, or all.
    """
    if not share:
        return splits
    whole = splits.labelled or splits.train
    count = round(share * len(whole))
    if not 0 < count < len(whole):
        raise InputError(
            f"--validation_fraction={share} of {len(whole)} training images are {count}; give one "
            "that leaves some on both sides"
        )
    order = np.random.default_rng(_SEED).permutation(len(whole))
    test, rest = (_part(whole, np.sort(rows)) for rows in (order[:count], order[count:]))
    note = (
        f"{splits.note} Held out: {count:,} of the {len(whole):,} "
        f"{'labelled ' if splits.labelled else ''}training images are the test images here."
    )
    if splits.labelled:
        return dataclasses.replace(splits, test=test, note=note, labelled=rest)
    return dataclasses.replace(splits, test=test, note=note, train=rest)


def _part(split: Split, rows: np.ndarray) -> Split:
    return Split(
        _rows(split.images, rows),
        None if split.labels is None else split.labels[rows],
        None if split.surround is None else _rows(split.surround, rows),
    )


def _rows(images: Images, rows: np.ndarray) -> Images:
    return images[rows] if isinstance(images, np.ndarray) else Rows(images, rows)
