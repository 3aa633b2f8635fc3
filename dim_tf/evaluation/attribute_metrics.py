"""Metrics of predicted attributes: several yes/no labels per image, such as CelebA's 40."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn import metrics

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.measure import MetricInfo
from dim_tf.system.errors import RunError

METRICS = {
    "auc": MetricInfo("auc", "higher", "AUC, mean of attributes"),
    "balanced_accuracy": MetricInfo("fraction", "higher", "balanced accuracy, mean of attributes"),
    "accuracy": MetricInfo("fraction", "higher", "accuracy, mean of attributes"),
    "majority": MetricInfo("fraction", None, "majority answer, no model"),
}


def by_attribute(
    scores: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """The metrics of each attribute.

    Args:
        scores: float [N, A], predicted probabilities.
        labels: int [N, A], 0 or 1.
        names: Names of the A attributes.

    Returns:
        For each name a dict: "auc" (area under the ROC curve; NaN if all labels are equal),
        "balanced_accuracy" and "accuracy" at probability ½, and "majority", the accuracy of always
        predicting the more frequent value.
    """
    table = {}
    for column, name in enumerate(names):
        score, label = scores[:, column], labels[:, column]
        positive = float(np.mean(label))
        has_both = 0.0 < positive < 1.0
        predicted = score > 0.5
        table[name] = {
            "auc": float(metrics.roc_auc_score(label, score)) if has_both else float("nan"),
            "balanced_accuracy": (
                float(metrics.balanced_accuracy_score(label, predicted))
                if has_both
                else float("nan")
            ),
            "accuracy": float(np.mean(predicted == label)),
            "majority": max(positive, 1 - positive),
        }
    if not any(0 < label.sum() < len(label) for label in labels.T):
        raise RunError("no attribute has both values in the test images")
    return table


def means(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over the attributes that have a value.

    Args:
        table: Result of `by_attribute`.
    """
    return {
        name: float(np.nanmean([values[name] for values in table.values()])) for name in METRICS
    }


def statistics(
    predictions: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, bootstrap.Statistic]:
    """The means over attributes and trainings, on resampled images, by metric.

    Args:
        predictions: For each training float [N, A], predicted probabilities.
        labels: int [N, A], 0 or 1.
    """
    varied = [i for i, label in enumerate(labels.T) if 0 < label.sum() < len(label)]
    aucs = bootstrap.aucs_of(
        np.concatenate([scores[:, varied] for scores in predictions], axis=1),
        np.tile(labels[:, varied], len(predictions)),
    )

    def by_column(metric: Callable[..., np.ndarray], columns: Sequence[int]):
        return lambda counts: [
            metric(scores[:, column], labels[:, column], counts)
            for scores in predictions
            for column in columns
        ]

    return {
        "auc": _mean_of(aucs),
        "accuracy": _mean_of(by_column(_accuracy, range(labels.shape[1]))),
        "balanced_accuracy": _mean_of(by_column(_balanced_accuracy, varied)),
    }


def _mean_of(statistic):
    """The mean of a statistic over those attributes that have a value in a resample."""

    def mean(counts):
        values = statistic(counts)
        has_value = ~np.isnan(values)
        with np.errstate(invalid="ignore"):  # NaN if only one label was drawn for every attribute
            return np.nansum(values, axis=0) / has_value.sum(axis=0)

    return mean


def _accuracy(scores, labels, counts):
    return counts @ ((scores > 0.5) == labels) / counts.sum(axis=1)


def _balanced_accuracy(scores, labels, counts):
    predicted = scores > 0.5
    with np.errstate(invalid="ignore"):  # NaN if only one label was drawn
        sensitivity = (counts @ (predicted & (labels == 1))) / (counts @ (labels == 1))
        specificity = (counts @ (~predicted & (labels == 0))) / (counts @ (labels == 0))
    return (sensitivity + specificity) / 2
