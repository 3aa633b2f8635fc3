"""Which labels count as wrong, from probabilities: confident learning.

Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels
(https://arxiv.org/abs/1911.00068). Let t_j be the mean probability of class j over the images
labelled j (equation 2). An image labelled i is counted in C_ij for the likeliest class j with p_j ≥
t_j (equation 1). So a class of which the classifier is unsure has a low bar. The rows of C, scaled
to the number of images with each given label, are the joint distribution of given and true labels
(equation 3).

An image is a candidate by either of two rules of the paper (section 3.2): it is counted in C_ij, i
≠ j ("confident"), or it is among the n_i images labelled i that look least like i, where n_i is the
scaled off-diagonal count ("prune by class"). The second rule finds images that an overconfident
classifier leaves just below t_j.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """What confident learning says about K labels.

    Attributes:
        suggested: int64 [K], the class that each label is counted as, or the likeliest other class.
        is_candidate: bool [K].
        expected_wrong: Number of labels that the joint distribution has off its diagonal.
    """

    suggested: np.ndarray
    is_candidate: np.ndarray
    expected_wrong: float


def confident_joint(probabilities: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class that each image is counted as, and the counts.

    Args:
        probabilities: float [K, C], of images that the classifier was not trained on.
        given: int [K], labels.

    Returns:
        int64 [K], the class, -1 for images that are not counted; int64 [C, C], C_ij.
    """
    classes = probabilities.shape[1]
    sums = np.bincount(given, probabilities[np.arange(len(given)), given], minlength=classes)
    sizes = np.bincount(given, minlength=classes)
    thresholds = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    is_confident = probabilities >= thresholds
    counted = np.where(is_confident, probabilities, -1).argmax(axis=1)
    counted[~is_confident.any(axis=1)] = -1
    joint = np.zeros((classes, classes), np.int64)
    seen = counted >= 0
    np.add.at(joint, (given[seen], counted[seen]), 1)
    return counted, joint


def find_candidates(probabilities: np.ndarray, given: np.ndarray) -> Candidates:
    """Labels that are probably wrong, by either rule.

    Args:
        probabilities: float [K, C], of images that the classifier was not trained on.
        given: int [K], labels.
    """
    images = np.arange(len(given))
    counted, joint = confident_joint(probabilities, given)
    rows = joint.sum(axis=1, keepdims=True)
    scaled = np.bincount(given, minlength=len(joint))[:, np.newaxis] * joint / np.maximum(rows, 1)
    np.fill_diagonal(scaled, 0)
    is_confident = (counted >= 0) & (counted != given)
    others = probabilities.copy()
    others[images, given] = -1
    suggested = np.where(is_confident, counted, others.argmax(axis=1))
    margins = probabilities[images, suggested] - probabilities[images, given]
    # The rank of each image among those with its label, by the margin.
    order = np.lexsort((-margins, given))
    starts = np.searchsorted(given[order], np.arange(len(joint)))
    place = np.empty(len(given), np.int64)
    place[order] = np.arange(len(given)) - starts[given[order]]
    is_pruned = (place < np.round(scaled.sum(axis=1))[given]) & (margins > 0)
    return Candidates(suggested, is_confident | is_pruned, float(scaled.sum()))
