"""The images that are measured, with labels if there are any."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation.array_storage import ArrayStorage

# Limits for images that are not in memory, which would take long to measure.
MAX_TRAIN_IMAGES = 50_000
MAX_TEST_IMAGES = 10_000
_BATCH_BYTES = 2**26  # of images that are read at once


@dataclass(frozen=True)
class EvaluationSplit:
    """Images and their labels.

    Attributes:
        images: [N, H, W, C], as in `splits.Split`.
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1, with A = 0 if there
            are no labels.
        groups: int64 [N], as in `splits.Split`; None: no groups.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self):
        return len(self.images)


@dataclass(frozen=True)
class EvaluationData:
    """The images on which probes are trained, and the images that are measured.

    Attributes:
        train: Images on which probes are trained, and among which neighbours are searched.
        test: Images that are measured.
        label_names: Names of the classes or attributes; empty without labels.
        note: Where the images come from, and how many of them these are.
        storage: Where features, and images that are read, are kept.
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
        """Whether each image has one class, rather than attributes or no label."""
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
        """Takes the training images, or the labelled ones if only those have labels.

        Images in memory are all taken; of other images a random sample, always the same one.

        Args:
            splits: The data set.
            max_train_images: Size of the sample of training images.
            max_test_images: Size of the sample of test images.
            storage: For features, and for images that are not in memory; None: everything is in
                memory.
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
