"""What is measured on: images, with labels where there are some."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation.array_storage import ArrayStorage

# Limits for images that are not in memory, whose measures would take long.
MAX_TRAIN_IMAGES = 50_000
MAX_TEST_IMAGES = 10_000
_BATCH_BYTES = 2**26  # of images that are read at once


@dataclass(frozen=True)
class EvaluationSplit:
    """Images and their labels.

    Attributes:
        images: [N, H, W, C], as of `splits.Split`.
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1, A = 0 where there are
            no labels.
        groups: int64 [N], as of `splits.Split`; None: none.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self):
        return len(self.images)


@dataclass(frozen=True)
class EvaluationData:
    """The images that probes are trained on and those that are measured.

    Attributes:
        train: what probes are trained on, and where neighbours are looked for.
        test: what is measured.
        label_names: of the classes, or of the attributes; empty without labels.
        note: where the images come from, and how many of them these are.
        storage: where images that are read, and features, are kept.
    """

    train: EvaluationSplit
    test: EvaluationSplit
    label_names: tuple[str, ...]
    note: str
    storage: ArrayStorage = field(default_factory=ArrayStorage)

    @property
    def has_labels(self) -> bool:
        """Whether there are labels of any kind."""
        return bool(self.label_names)

    @property
    def has_classes(self) -> bool:
        """Whether an image has one class, rather than attributes or nothing."""
        return self.has_labels and self.test.labels.ndim == 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        _, height, width, channels = self.train.images.shape
        return height, width, channels

    @classmethod
    def from_splits(
        cls,
        splits: Splits,
        max_train_images: int = MAX_TRAIN_IMAGES,
        max_test_images: int = MAX_TEST_IMAGES,
        storage: ArrayStorage | None = None,
    ) -> Self:
        """Takes the training images, or the labelled ones where only those have labels.

        Images that are in memory are all taken; of others a random sample, always the same one.

        Args:
            splits: the data set.
            max_train_images: size of the sample of training images.
            max_test_images: size of the sample of test images.
            storage: for images that are not in memory, and for features; None: all in memory.
        """
        storage = storage or ArrayStorage()
        train = splits.train if splits.labelled is None else splits.labelled
        train_sample = _sample(train, max_train_images, storage)
        test_sample = _sample(splits.test, max_test_images, storage)
        sampled = [
            f"{len(sample):,} of the {len(split):,} {name} images, drawn at random"
            for name, sample, split in (
                ("training", train_sample, train),
                ("test", test_sample, splits.test),
            )
            if len(sample) < len(split)
        ]
        note = splits.note + (f" Measured on {' and '.join(sampled)}." if sampled else "")
        return cls(train_sample, test_sample, splits.label_names, note, storage)


def _sample(split: Split, max_images: int, storage: ArrayStorage) -> EvaluationSplit:
    labels = np.zeros((len(split), 0), np.int64) if split.labels is None else split.labels
    if isinstance(split.images, np.ndarray):
        return EvaluationSplit(split.images, labels, split.groups)
    indices = np.arange(len(split))
    if len(split) > max_images:
        indices = np.sort(np.random.default_rng(0).choice(len(split), max_images, replace=False))
    shape = len(indices), *split.images.shape[1:]
    images = storage.new(shape, split.images.dtype)
    step = max(_BATCH_BYTES // max(math.prod(shape[1:]), 1), 1)
    for first in range(0, len(indices), step):
        images.append(split.images[indices[first : first + step]])
    groups = None if split.groups is None else split.groups[indices]
    return EvaluationSplit(images.finish(), labels[indices], groups)
