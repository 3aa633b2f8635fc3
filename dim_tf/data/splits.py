"""What every data source returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """Images with their labels, in memory.

    Attributes:
        images: uint8 [N, H, W, C], C = 1 or 3.
        labels: int64 [N], class numbers; or int64 [N, A], attributes 0 or 1.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.images)


@dataclass(frozen=True)
class Splits:
    """A data set.

    Attributes:
        name: of the data set.
        train: what the encoder and the probes are trained on.
        test: what they are measured on.
        label_names: of the classes, or of the attributes.
        note: one sentence on where the images come from and how they were split and resized.
    """

    name: str
    train: Split
    test: Split
    label_names: tuple[str, ...]
    note: str

    @property
    def multi_label(self) -> bool:
        """Whether the labels are attributes and not one class an image."""
        return self.train.labels.ndim == 2

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.train.images.shape[1:]
