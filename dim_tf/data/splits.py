"""What every data source returns."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange

_OF_FINGERPRINT = 32  # images of each split


class Images(Protocol):
    """Images that are indexed by rows as an array is; not all of them need to be in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C), C = 1 or 3."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """uint8 [len(rows), H, W, C], in memory."""


@dataclass(frozen=True)
class Split:
    """Images, and their labels where they have some.

    Attributes:
        images: uint8 [N, H, W, C], C = 1 or 3.
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1; None: no labels.
        surround: the same images with more around them, uint8 [N, H', W', C] with H' ≥ H, W' ≥ W;
            `images` are their centres, and random crops are windows of them
            (`crops.random_windows`); None: there is nothing around, and random crops are reflected
            at the edges.
    """

    images: Images
    labels: np.ndarray | None
    surround: Images | None = None

    def __len__(self):
        return len(self.images)


class Report(Protocol):
    """What a source tells of its files in the run folder, once the settings have been checked."""

    def check(self, folder: Path) -> None:
        """Compares with the images of the run in a folder, if it holds one; writes nothing.

        Raises:
            InputError: they are others.
        """

    def note_training(self, folder: Path) -> None:
        """Keeps there which images a run is trained on, with those of before.

        Raises:
            OSError: it cannot be written.
        """

    def write(self, folder: Path) -> None:
        """Writes the report's files there, each whole or not at all.

        Raises:
            OSError: they cannot be written.
        """


@dataclass(frozen=True)
class Splits:
    """A data set.

    Attributes:
        name: of the data set.
        train: what the encoder is trained on.
        test: what it is measured on.
        label_names: of the classes, or of the attributes; empty: no labels.
        note: one sentence on where the images come from and how they were split and resized.
        labelled: what the probes are trained on, where `train` has no labels but others have;
            None: `train`.
        report: of the files, for the run folder; None: there is nothing to tell.
        pixel_range: how images of 16 bits were decoded, and have to be by what serves the encoder.
    """

    name: str
    train: Split
    test: Split
    label_names: tuple[str, ...]
    note: str
    labelled: Split | None = None
    report: Report | None = None
    pixel_range: PixelRange = ALL_16_BITS

    @property
    def multi_label(self) -> bool:
        """Whether the labels are attributes and not one class an image."""
        return self.test.labels is not None and self.test.labels.ndim == 2

    @property
    def fingerprint(self) -> str:
        """Tells these images from others of the same name: of some pixels, 16 hex digits."""
        digest = hashlib.sha256()
        for split in (self.train, self.test, *([self.labelled] if self.labelled else [])):
            digest.update(str(split.images.shape).encode())
            rows = np.unique(np.linspace(0, len(split) - 1, _OF_FINGERPRINT).astype(np.int64))
            digest.update(np.ascontiguousarray(split.images[rows]).tobytes())
        return digest.hexdigest()[:16]

    @property
    def labels_fingerprint(self) -> str:
        """Tells these labels from others of the same images: of all of them, 16 hex digits."""
        digest = hashlib.sha256(self.classes_fingerprint.encode())
        for split in (self.train, self.test, *([self.labelled] if self.labelled else [])):
            if split.labels is not None:
                digest.update(str(split.labels.shape).encode())
                digest.update(np.ascontiguousarray(split.labels).tobytes())
        return digest.hexdigest()[:16]

    @property
    def classes_fingerprint(self) -> str:
        """Tells these classes, or attributes, from others: of their names, 16 hex digits."""
        return hashlib.sha256("\0".join(self.label_names).encode()).hexdigest()[:16]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.train.images.shape
        return height, width, channels
