"""Weights of classes in a loss, for labels some of which are rare."""

import numpy as np

from dim_tf.settings.finetuning import CLASS_WEIGHTS

NONE, BALANCED = CLASS_WEIGHTS


def of_kind(kind: str, labels: np.ndarray, outputs: int) -> np.ndarray | None:
    """The weights of a kind in `CLASS_WEIGHTS`; None: every loss counts once.

    Args:
        kind: "none" or "balanced".
        labels: As for `balanced`.
        outputs: As for `balanced`.
    """
    return balanced(labels, outputs) if kind == BALANCED else None


def balanced(labels: np.ndarray, outputs: int) -> np.ndarray:
    """Weights with which every class counts as much as every other: N / (classes · its images).

    These are scikit-learn's `class_weight="balanced"` (King & Zeng 2001,
    https://scikit-learn.org/stable/modules/generated/sklearn.utils.class_weight.compute_class_weight.html);
    for an attribute, absent and present are two classes. The mean weight of an image is 1.

    Args:
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        outputs: Number of classes, or A.

    Returns:
        float64 [C]; for attributes [2, A], the weights of absent and of present ones. A class
        without images has the weight 0.
    """
    if labels.ndim == 1:
        counts = np.bincount(labels, minlength=outputs)
    else:
        present = np.count_nonzero(labels == 1, axis=0)
        counts = np.stack([len(labels) - present, present])
    classes = np.count_nonzero(counts, axis=0)
    return np.where(counts > 0, len(labels) / (classes * np.maximum(counts, 1)), 0.0)


def of_images(class_weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weight of each image, float64 [N]; or of each attribute of each image, [N, A].

    Args:
        class_weights: The result of `balanced`.
        labels: As for `balanced`.
    """
    if labels.ndim == 1:
        return class_weights[labels]
    return np.where(labels == 1, class_weights[1], class_weights[0])
