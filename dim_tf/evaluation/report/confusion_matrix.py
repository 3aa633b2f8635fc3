"""A confusion matrix: a table of percentages for few classes, an image for many."""

import numpy as np
from markupsafe import Markup

from dim_tf.evaluation.figures import ConfusionMatrix
from dim_tf.evaluation.report.image_panels import data_uri
from dim_tf.evaluation.report.rendering import render

MAX_TABLE_CLASSES = 20
NUM_LISTED = 6  # the most frequent confusions, in words


def confusion_matrix(matrix: ConfusionMatrix) -> Markup:
    """The matrix, as fractions of each true class, and the most frequent confusions in words."""
    counts = np.asarray(matrix.counts)
    totals = counts.sum(axis=1)
    fractions = counts / np.maximum(totals, 1)[:, np.newaxis]
    values = {
        "title": matrix.title,
        "names": matrix.label_names,
        "columns": [Markup("<span>{}</span>").format(name) for name in matrix.label_names],
        "counts": counts,
        "totals": totals,
        "percent": np.round(100 * fractions).astype(int),
        "confusions": _most_frequent(fractions, matrix.label_names),
    }
    if len(counts) <= MAX_TABLE_CLASSES:
        return render("confusion_matrix.html", image="", **values)
    # One pixel per cell. Square roots, so that small fractions are visible too.
    pixels = (255 * (1 - np.sqrt(fractions))).astype(np.uint8)[..., np.newaxis]
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    return render("confusion_matrix.html", image=data_uri(pixels), accuracy=accuracy, **values)


def _most_frequent(fractions, names):
    """(true class, answer, fraction) of the largest fractions off the diagonal."""
    errors = np.where(np.eye(len(fractions), dtype=bool), 0, fractions)
    order = np.argsort(-errors, axis=None, kind="stable")[:NUM_LISTED]
    return [
        (names[true], names[answer], errors[true, answer])
        for true, answer in zip(*np.unravel_index(order, errors.shape), strict=True)
        if errors[true, answer] > 0
    ]
