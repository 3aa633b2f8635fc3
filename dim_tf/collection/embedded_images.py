"""`EmbeddedImages`: a collection with its features, which the stages after embed take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EmbeddedImages:
    """Images of a collection, their features, and what is known about each.

    Attributes:
        ids: relative paths with "/", unique.
        features: float32 [N, D]; may be memory-mapped, and is then read in blocks.
        labels: int64 [N], classes, -1 where there is none; int64 [N, A], attributes 0 or 1; None
            without labels.
        label_names: of the classes or attributes.
        is_test: bool [N], whether an image is in the user's own test folder; None where they have
            no split.
        read_image: the pixels of a row, uint8 [H, W, 3], upright.
    """

    ids: Sequence[str]
    features: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    is_test: np.ndarray | None
    read_image: Callable[[int], np.ndarray]
