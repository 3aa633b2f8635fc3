"""A linear head on frozen features, trained on few labels or many."""

import numpy as np

from dim_tf.evaluation import logistic_regression
from dim_tf.export.linear_head import LinearHead
from dim_tf.finetuning import class_weights as weights
from dim_tf.system.errors import InputError


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    label_names: tuple[str, ...],
    *,
    indices: np.ndarray | None = None,
    class_weights: str = weights.NONE,
) -> tuple[LinearHead, float]:
    """Trains a head by logistic regression; its regularisation is chosen on some of the images.

    The minimum is that of `logistic_regression.fit`, whatever the order of the images. The
    standardisation of the features is folded into kernel and bias.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 100)
    >>> features = (labels[:, np.newaxis] + rng.normal(0, 0.1, (100, 4))).astype(np.float32)
    >>> head, _ = fit(features, labels, ("cat", "dog"))
    >>> bool((head.probabilities(features).argmax(axis=1) == labels).all())
    True

    Args:
        features: float32 [N, F]; may be memory-mapped, and is read in chunks.
        labels: int64 [N], classes; or int64 [N, A], attributes 0 or 1.
        label_names: Names of the classes or attributes.
        indices: int [K], the images to train on; None: all.
        class_weights: One of `settings.finetuning.CLASS_WEIGHTS`.

    Returns:
        The head, and the C of `logistic_regression.fit`.

    Raises:
        InputError: A class has no image, or there is only one class or value.
        RunError: The features are not finite.
    """
    chosen = labels if indices is None else labels[indices]
    check_labels(chosen, label_names)
    classifier, c = logistic_regression.fit(
        features,
        labels,
        len(label_names),
        indices,
        class_weights=weights.of_kind(class_weights, chosen, len(label_names)),
    )
    kernel, bias = classifier.folded()
    return LinearHead(kernel, bias, label_names, labels.ndim == 2), c


def check_labels(labels: np.ndarray, label_names: tuple[str, ...]) -> None:
    """Checks that a classifier can be learned from the labels of its training images.

    Args:
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        label_names: Names of the classes or attributes.

    Raises:
        InputError: It cannot.
    """
    if labels.ndim == 2:
        constant = (labels == labels[:1]).all(axis=0)
        if not len(labels) or constant.any():
            raise InputError(
                f"the attribute {_first(label_names, constant)} has one value in all "
                f"{len(labels):,} labelled training images; label images with and without it, or "
                "leave it out"
            )
        return
    if len(label_names) < 2:
        raise InputError(
            f"a classifier tells classes apart, and there is {len(label_names)}; give images of "
            "at least two classes"
        )
    missing = np.bincount(labels, minlength=len(label_names)) == 0
    if missing.any():
        raise InputError(
            f"the class {_first(label_names, missing)} has no labelled training image, as "
            f"{np.count_nonzero(missing)} of {len(label_names)} classes; label at least one, or "
            "leave the class out"
        )


def _first(names, is_affected):
    return repr(names[int(np.argmax(is_affected))]) if is_affected.size else "?"
