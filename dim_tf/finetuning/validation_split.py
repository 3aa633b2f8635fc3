"""Labelled images on which neither head nor encoder is trained: for early stopping, calibration.

`data.validation_split` replaces the test set, once for all runs. The images here are drawn from the
remaining training images, class by class, because with ten labels per class none can be wasted.
"""

import warnings

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from dim_tf.system.errors import InputError


def split(
    labels: np.ndarray, fraction: float, seed: int = 0, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draws validation images from labelled images.

    They are a fold of scikit-learn's StratifiedKFold, or of KFold for attributes. With groups,
    which stay together, they are a fold of StratifiedGroupKFold or GroupKFold. Each class keeps an
    image to train on: if all images of a class would be drawn, they stay in training, with their
    groups.

    Args:
        labels: int [N], classes; or int [N, A], attributes.
        fraction: Fraction of the images, at most 1/2. The nearest 1 / (a whole number) is taken,
            and a larger one if no class has that many images.
        seed: Seed of the draw.
        groups: int [N], which images stay together; None: no groups.

    Returns:
        The training and the validation images, int64, ascending.

    Raises:
        InputError: No image can be drawn.
    """
    units = len(labels) if groups is None else len(np.unique(groups))
    folds = max(round(1 / fraction), 2)
    if labels.ndim == 1 and len(labels):
        folds = max(min(folds, int(np.bincount(labels).max())), 2)
    if units < folds or (labels.ndim == 1 and np.bincount(labels).max() < 2):
        raise InputError(
            f"of {units:,} labelled images or groups none can be kept for validation; label at "
            "least two images of a class"
        )
    with warnings.catch_warnings():  # of classes with fewer images than folds
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        drawn = _folds(labels.ndim == 1, groups is not None)(folds, shuffle=True, random_state=seed)
        _, validation = next(drawn.split(np.zeros(len(labels)), labels, groups))
    is_drawn = np.zeros(len(labels), bool)
    is_drawn[validation] = True
    if labels.ndim == 1:
        numbers = np.arange(len(labels)) if groups is None else groups
        lost = np.setdiff1d(labels[is_drawn], labels[~is_drawn])
        is_drawn &= ~np.isin(numbers, numbers[np.isin(labels, lost)])
    if not is_drawn.any():
        raise InputError(
            f"none of {units:,} labelled images or groups can be kept for validation without "
            "leaving a class without an image to train on; label more"
        )
    return np.flatnonzero(~is_drawn), np.flatnonzero(is_drawn)


def _folds(are_classes, are_grouped):
    if are_grouped:
        return StratifiedGroupKFold if are_classes else GroupKFold
    return StratifiedKFold if are_classes else KFold
