"""What every data source returns."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange

_FINGERPRINT_IMAGES = 32  # of each split


class Images(Protocol):
    """Images that are indexed like an array; not all of them need to be in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    @property
    def dtype(self) -> np.dtype:
        """The type of the images: uint8, or float32 if they are in [0, 1]."""

    def __len__(self) -> int:
        """N, the number of images."""

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        """[len(indices), H, W, C], in memory."""


@dataclass(frozen=True)
class Split:
    """Images, and their labels if they have any.

    Attributes:
        images: uint8 [N, H, W, C], C = 1 or 3; or float32 in [0, 1] with any C.
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1; None: no labels.
        uncropped: The same images before their centers were cropped, uint8 [N, H', W', C] with H' ≥
            H, W' ≥ W; random crops are windows of them (`crops.random_crops`). None: `images` are
            whole, and random crops are padded by reflection.
        groups: int64 [N], which images a further split keeps together; None: no groups.
    """

    images: Images
    labels: np.ndarray | None
    uncropped: Images | None = None
    groups: np.ndarray | None = None

    def __len__(self):
        return len(self.images)


class DataReport(Protocol):
    """What the run folder records about a source's files, once the settings have been checked."""

    def check(self, folder: Path) -> None:
        """Compares the images with those of the run in a folder, if it holds one; writes nothing.

        Raises:
            InputError: They differ.
        """

    def record_training_images(self, folder: Path) -> None:
        """Adds the training images to those that the run in a folder has trained on.

        Raises:
            OSError: It cannot be written.
        """

    def write(self, folder: Path) -> None:
        """Writes the report's files into a folder, each whole or not at all.

        Raises:
            OSError: They cannot be written.
        """


@dataclass(frozen=True)
class Splits:
    """A data set.

    Attributes:
        name: Name of the data set.
        train: Images on which the encoder is trained.
        test: Images on which it is evaluated.
        label_names: Names of the classes or attributes; empty: no labels.
        note: One sentence on the images' origin, split and size.
        labelled: Images on which the probes are trained, if `train` has no labels; None: `train`.
        report: Report on the files, for the run folder; None: there is nothing to report.
        pixel_range: How 16-bit images were decoded; an exported encoder decodes them in the same
            way.
        input_channels: C of the images that an exported encoder takes; for a data set given by name
            they are RGB there, even if its images are grey.
        scaling: Scaling of images that are arrays of values other than shades; an exported encoder
            scales them in the same way. None: they are pictures.
    """

    name: str
    train: Split
    test: Split
    label_names: tuple[str, ...]
    note: str
    labelled: Split | None = None
    report: DataReport | None = None
    pixel_range: PixelRange = ALL_16_BITS
    input_channels: int = 3
    scaling: ChannelScaling | None = None

    @property
    def multi_label(self) -> bool:
        """Whether the labels are attributes and not one class per image."""
        return self.test.labels is not None and self.test.labels.ndim == 2

    @property
    def fingerprint(self) -> str:
        """16 hex digits, a hash of some images, which differs for other data of the same name."""
        digest = hashlib.sha256()
        for split in (self.train, self.test, *([self.labelled] if self.labelled else [])):
            digest.update(str(split.images.shape).encode())
            if not len(split):  # no test images
                continue
            spaced = np.linspace(0, len(split) - 1, _FINGERPRINT_IMAGES).astype(np.int64)
            images = split.images[np.unique(spaced)]
            digest.update(np.ascontiguousarray(images).tobytes())
        return digest.hexdigest()[:16]

    @property
    def labels_fingerprint(self) -> str:
        """16 hex digits, a hash of all labels and their names."""
        digest = hashlib.sha256(self.classes_fingerprint.encode())
        for split in (self.train, self.test, *([self.labelled] if self.labelled else [])):
            if split.labels is not None:
                digest.update(str(split.labels.shape).encode())
                digest.update(np.ascontiguousarray(split.labels).tobytes())
        return digest.hexdigest()[:16]

    @property
    def classes_fingerprint(self) -> str:
        """16 hex digits, a hash of the names of the classes or attributes."""
        return hashlib.sha256("\0".join(self.label_names).encode()).hexdigest()[:16]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.train.images.shape
        return height, width, channels
