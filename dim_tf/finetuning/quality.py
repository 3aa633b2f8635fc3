"""How good a classifier is on test images: accuracy, per label, confusion, calibration."""

from dataclasses import dataclass

import numpy as np
import scipy.stats

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.bootstrap import Interval
from dim_tf.finetuning.calibration import CalibrationError, calibration_error

_SMALLEST = 1e-12  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class LabelQuality:
    """The quality of one class or attribute.

    Attributes:
        name: Name of the label.
        images: Number of test images that have it.
        accuracy: For a class, the fraction of its images that are classified as it (recall); for an
            attribute, the fraction of all images for which it is correct. None without images.
        interval: 95 % interval of the accuracy, as of `Quality`; None without images.
        precision: Of the images predicted to have the label, the fraction that have it; None if
            there are none.
        recall: Of the images that have the label, the fraction predicted to have it; None if there
            are none.
    """

    name: str
    images: int
    accuracy: float | None
    interval: Interval | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Quality:
    """The quality of a classifier on test images.

    Attributes:
        images: N.
        accuracy: The fraction of images whose class is correct; for attributes, the mean over all
            of them.
        interval: Its 95 % interval: by Wilson's score; for attributes, and where images are in
            groups, by the bootstrap over images or groups.
        balanced_accuracy: The mean of the labels' recalls; for attributes, the mean of the recalls
            of present and absent ones.
        negative_log_likelihood: Its mean, in nats.
        calibration: Calibration of the probabilities.
        labels: The quality of each label.
        confusion: Number of images by true class (rows) and predicted class; empty for attributes.
    """

    images: int
    accuracy: float
    interval: Interval
    balanced_accuracy: float
    negative_log_likelihood: float
    calibration: CalibrationError
    labels: tuple[LabelQuality, ...]
    confusion: tuple[tuple[int, ...], ...]


def wilson_interval(successes: int, trials: int) -> Interval:
    """The 95 % interval of a fraction by Wilson's score (Wilson 1927); `trials` is at least 1."""
    interval = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def correctness(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How correct each image's prediction is, float64 [N]: 0 or 1; for attributes the fraction.

    Args:
        probabilities: float [N, C].
        labels: int [N], classes; or int [N, C], attributes 0 or 1.
    """
    if labels.ndim == 2:
        return np.mean((probabilities > 0.5) == (labels == 1), axis=1)
    return (probabilities.argmax(axis=1) == labels).astype(np.float64)


def accuracy_interval(
    correct: np.ndarray, multi_label: bool, groups: np.ndarray | None
) -> Interval:
    """The 95 % interval of the mean of `correctness`.

    Args:
        correct: float [N].
        multi_label: Whether it is of attributes, so that an image may be correct in part.
        groups: int [N], which images are alike, such as frames of a video; None: none are.
    """
    if multi_label or bootstrap.group_count(len(correct), groups):
        return bootstrap.mean_interval(correct, groups)
    return wilson_interval(int(correct.sum()), len(correct))


def measure(
    probabilities: np.ndarray,
    labels: np.ndarray,
    label_names: tuple[str, ...],
    groups: np.ndarray | None,
) -> Quality:
    """Measures a classifier.

    Args:
        probabilities: float [N, C], N at least 1.
        labels: int [N], classes; or int [N, C], attributes 0 or 1.
        label_names: Names of the C labels.
        groups: As for `accuracy_interval`.
    """
    multi_label = labels.ndim == 2
    correct = correctness(probabilities, labels)
    if multi_label:
        has, gets = labels == 1, probabilities > 0.5
        confusion = np.zeros((0, 0), np.int64)
        recalls = [_fraction(gets & has, has), _fraction(~gets & ~has, ~has)]
        likelihood = np.where(has, probabilities, 1 - probabilities)
    else:
        classes = np.arange(len(label_names))
        predicted = probabilities.argmax(axis=1)
        has, gets = labels[:, np.newaxis] == classes, predicted[:, np.newaxis] == classes
        confusion = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        recalls = [_fraction(gets & has, has)]
        likelihood = probabilities[np.arange(len(labels)), labels]
    logarithms = np.log(np.maximum(likelihood.astype(np.float64), _SMALLEST))
    return Quality(
        len(labels),
        float(correct.mean()),
        accuracy_interval(correct, multi_label, groups),
        float(np.nanmean(recalls)),
        float(-np.mean(logarithms)),
        calibration_error(probabilities, labels),
        tuple(
            _of_label(name, has[:, n], gets[:, n], multi_label, groups)
            for n, name in enumerate(label_names)
        ),
        tuple(tuple(map(int, row)) for row in confusion),
    )


def _fraction(some, of):
    """The fraction in each column; NaN in columns without entries."""
    counts = of.sum(axis=0)
    return np.where(counts > 0, some.sum(axis=0) / np.maximum(counts, 1), np.nan)


def _of_label(name, has, gets, multi_label, groups):
    right, count = int(np.sum(has & gets)), int(has.sum())
    counted = np.ones_like(has) if multi_label else has
    correct = (has == gets)[counted]
    of_counted = None if groups is None else groups[counted]
    return LabelQuality(
        name,
        count,
        float(correct.mean()) if len(correct) else None,
        accuracy_interval(correct, False, of_counted) if len(correct) else None,
        right / int(gets.sum()) if gets.any() else None,
        right / count if count else None,
    )
