"""Measures of predicted attributes: several yes/no labels an image, as CelebA's 40."""

import numpy as np
from sklearn import metrics

MEASURES = ("auc", "balanced_accuracy", "accuracy", "majority")


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
        for name in MEASURES
    }
