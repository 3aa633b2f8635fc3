"""Measures of predicted attributes: several yes/no labels an image, as CelebA's 40."""

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.measure import Kind

KINDS = {
    "auc": Kind("auc", "higher", "AUC, mean of attributes"),
    "balanced_accuracy": Kind("share", "higher", "balanced accuracy, mean of attributes"),
    "accuracy": Kind("share", "higher", "accuracy, mean of attributes"),
    "majority": Kind("share", None, "majority answer, no model"),
}


def measure(scores: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> dict[str, dict]:
    """Measures each attribute's predictions.

    Args:
        scores: float [N, A], the predicted probabilities.
        labels: int [N, A], 0 or 1.
        names: of the A attributes.

    Returns:
        By name, a dict of "auc" (area under the ROC curve; NaN where all labels are equal),
        "balanced_accuracy" and "accuracy" at probability ½, and "majority", the accuracy of always
        predicting the more frequent value.
    """
    found = {}
    for column, name in enumerate(names):
        score, label = scores[:, column], labels[:, column]
        share = float(np.mean(label))
        both = 0.0 < share < 1.0
        predicted = score > 0.5
        found[name] = {
            "auc": float(metrics.roc_auc_score(label, score)) if both else float("nan"),
            "balanced_accuracy": (
                float(metrics.balanced_accuracy_score(label, predicted)) if both else float("nan")
            ),
            "accuracy": float(np.mean(predicted == label)),
            "majority": max(share, 1 - share),
        }
    return found


def means(by_attribute: dict[str, dict]) -> dict[str, float]:
    """The mean over the attributes of each measure; attributes without a value are left out."""
    return {
        name: float(np.nanmean([values[name] for values in by_attribute.values()]))
        for name in KINDS
    }


def intervals(
    predictions: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, bootstrap.Interval]:
    """95 % intervals of those means, averaged over several trainings too, by measure.

    Args:
        predictions: one a training: float [N, A], the predicted probabilities.
        labels: int [N, A], 0 or 1.
    """

    def of(figure):
        def mean(counts):
            values = [
                figure(scores[:, column], label, counts)
                for scores in predictions
                for column, label in enumerate(labels.T)
                if 0 < label.sum() < len(label)
            ]
            return np.nanmean(values, axis=0)

        return bootstrap.interval(len(labels), mean)

    return {"auc": of(bootstrap.auc), "accuracy": of(_accuracy), "balanced_accuracy": of(_balanced)}


def _accuracy(scores, labels, counts):
    return counts @ ((scores > 0.5) == labels) / len(labels)


def _balanced(scores, labels, counts):
    predicted = scores > 0.5
    found = (counts @ (predicted & (labels == 1))) / (counts @ (labels == 1))
    left = (counts @ (~predicted & (labels == 0))) / (counts @ (labels == 0))
    return (found + left) / 2
