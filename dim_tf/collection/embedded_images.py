"""`EmbeddedImages`: the features of a collection with its images and labels, for later stages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EmbeddedImages:
    """Images of a collection and their features.

    Attributes:
        ids: Relative paths with "/", all different.
        features: float32 [N, D]; may be memory-mapped, so it is read in blocks.
        read_image: Returns the pixels of an image, given its row; uint8 [H, W, 3], upright.
        labels: int64 [N], -1 for an image without one; for attributes int64 [N, A]; None: no
            labels.
        label_names: Names of the classes or attributes.
        is_test: bool [N], whether an image is in the user's own test folder; None: there is none.
        origin: Identifies the features; it changes with the images and with the encoder.
    """

    ids: Sequence[str]
    features: np.ndarray
    read_image: Callable[[int], np.ndarray]
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    is_test: np.ndarray | None = None
    origin: str = ""
