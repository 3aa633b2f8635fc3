"""What the measures see of a data set: images in memory, with labels where there are some."""

from dataclasses import dataclass

import numpy as np

from dim_tf.data.splits import Split, Splits

# Of images that are not in memory. Features of more would not fit into it either.
TRAIN_IMAGES = 50_000
TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Part:
    """Images and their labels.

    Attributes:
        images: uint8 [N, H, W, C], C = 1 or 3.
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1, A = 0 where there are
            no labels.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.images)


@dataclass(frozen=True)
class Excerpt:
    """What is measured on.

    Attributes:
        train: what probes are trained on, and where neighbours are looked for.
        test: what is measured.
        label_names: of the classes, or of the attributes; empty: no labels.
        note: on the data set, and how much of it this is.
    """

    train: Part
    test: Part
    label_names: tuple[str, ...]
    note: str

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return bool(self.label_names)

    @property
    def has_classes(self) -> bool:
        """Whether an image has one class, and not attributes or nothing."""
        return self.labelled and self.test.labels.ndim == 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.train.images.shape
        return height, width, channels


def of(splits: Splits, train_images: int = TRAIN_IMAGES, test_images: int = TEST_IMAGES) -> Excerpt:
    """Takes the labelled training images, where only those have labels, and the test images.

    Images that are in memory are all taken. Of others at most so many, the same ones each time.

    Args:
        splits: the data set.
        train_images: how many of the training images.
        test_images: how many of the test images.
    """
    train = splits.train if splits.labelled is None else splits.labelled
    parts = {
        "training": _part(train, train_images),
        "test": _part(splits.test, test_images),
    }
    told = [
        f"{len(part):,} of the {len(of_all):,} {name} images, drawn at random"
        for (name, part), of_all in zip(parts.items(), (train, splits.test), strict=True)
        if len(part) < len(of_all)
    ]
    note = splits.note + (f" Measured on {' and '.join(told)}." if told else "")
    return Excerpt(parts["training"], parts["test"], splits.label_names, note)


def _part(split: Split, most: int) -> Part:
    labels = np.zeros((len(split), 0), np.int64) if split.labels is None else split.labels
    if isinstance(split.images, np.ndarray):
        return Part(split.images, labels)
    if len(split) <= most:
        return Part(split.images[:], labels)
    rows = np.sort(np.random.default_rng(0).choice(len(split), most, replace=False))
    return Part(split.images[rows], labels[rows])
