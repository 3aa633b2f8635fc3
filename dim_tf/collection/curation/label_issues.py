"""Labels that are probably wrong: an unseen classifier and the neighbours both contradict them.

Probabilities of each image come from a logistic regression on features that was trained on other
images (out of fold), so that no label speaks for itself. Confident learning (Northcutt, Jiang &
Chuang 2021, https://arxiv.org/abs/1911.00068) then needs no threshold of the user's: with t_j, the
mean probability of class j over the images that are labelled j (equation 2), an image labelled i is
counted as truly j, C_ij, where p_j ≥ t_j, for the likeliest such j (equation 1). Classes that the
classifier is unsure of have a low t_j. From C follow the joint of given and true labels, and the
fraction of labels that are wrong (equation 3: its rows scaled to the number of each given label).

A candidate is an image with i ≠ j, whose neighbours' vote prefers j to i, too: where the classifier
errs because the classes overlap, the neighbours often do not. Candidates are ranked by how far both
prefer j, on average.

Attributes are so many problems of two classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special

from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.evaluation import logistic_regression
from dim_tf.system.errors import InputError

FOLDS = 5
TEMPERATURE = 0.07  # of the votes, as evaluation/measures/knn.py has it
_BLOCK = 2**14


@dataclass(frozen=True)
class LabelIssues:
    """Images whose label is doubtful, the most doubtful first.

    Attributes:
        rows: int64 [I].
        attributes: int64 [I], which of the attributes; None for classes.
        given: int64 [I], the label.
        suggested: int64 [I], another class; of attributes 0 or 1.
        given_probability: float64 [I], of the given label, out of fold.
        suggested_probability: float64 [I].
        given_vote: float64 [I], the fraction of the neighbours' votes.
        suggested_vote: float64 [I].
        scores: float64 [I] in (0, 1]: how far both prefer the suggested label, on average.
        checked: labels that were checked.
        unchecked: labels that were not: those of classes of fewer than `FOLDS` images.
        accuracy: of the out-of-fold predictions.
        expected_wrong: labels that confident learning expects to be wrong; it counts hard images
            as well, so that this is an upper estimate where classes overlap.
        confident: images that confident learning alone would name.
    """

    rows: np.ndarray
    attributes: np.ndarray | None
    given: np.ndarray
    suggested: np.ndarray
    given_probability: np.ndarray
    suggested_probability: np.ndarray
    given_vote: np.ndarray
    suggested_vote: np.ndarray
    scores: np.ndarray
    checked: int
    unchecked: int
    accuracy: float
    expected_wrong: float
    confident: int

    def __len__(self) -> int:
        return len(self.rows)


def find_label_issues(
    images: EmbeddedImages,
    neighbours: NeighbourLists,
    *,
    redundant: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> LabelIssues:
    """Checks the labels of the labelled images; 16 bytes an image and class.

    Args:
        images: with labels, classes or attributes.
        neighbours: of the images, which vote.
        redundant: bool [N], copies of other images, which are checked but not trained on. None:
            none.
        groups: int64 [N], of copies, -1 for none: they neither vote for each other nor are they in
            different folds. None: no copies.
        seed: deals the images to folds.

    Raises:
        InputError: there are no labels, less than two classes that have `FOLDS` images, or
            attributes other than 0 or 1.
        RunError: the features are not finite.
    """
    if images.labels is None:
        raise InputError("labels cannot be checked where there are none; give class folders or CSV")
    count = len(images.labels)
    groups = np.full(count, -1) if groups is None else groups
    train = np.ones(count, bool) if redundant is None else ~redundant
    folds = _folds(images.labels, groups, seed)
    if images.labels.ndim == 1:
        return _of_classes(images, neighbours, train, groups, folds)
    return _of_attributes(images, neighbours, train, groups, folds)


def _of_classes(images, neighbours, train, groups, folds):
    labels = images.labels
    sizes = np.bincount(labels[(labels >= 0) & train], minlength=labels.max() + 1)
    classes = np.flatnonzero(sizes >= FOLDS)
    if len(classes) < 2:
        raise InputError(
            f"labels cannot be checked: {len(classes)} of the classes have {FOLDS} images or more; "
            "expected at least 2"
        )
    number = np.full(len(sizes), -1)
    number[classes] = np.arange(len(classes))
    dense = np.where(labels >= 0, number[labels], -1)
    rows = np.flatnonzero(dense >= 0)
    given = dense[rows]
    probabilities = _out_of_fold(
        images.features, dense, len(classes), rows, train, folds, scipy.special.softmax
    )
    votes = _votes(neighbours, groups, rows, dense, len(classes))
    suggested, confusion = confident_labels(probabilities, given)
    candidates = suggested != given
    return _ranked(
        rows,
        None,
        given,
        suggested,
        probabilities,
        votes,
        candidates,
        unchecked=int(((labels >= 0) & (dense < 0)).sum()),
        expected_wrong=expected_wrong(confusion, given),
        names=classes,
    )


def _of_attributes(images, neighbours, train, groups, folds):
    labels = images.labels
    if not np.isin(labels, (0, 1)).all():
        raise InputError(
            "attributes cannot be checked where some are neither 0 nor 1; give all of them, or none"
        )
    rows = np.arange(len(labels))
    attributes = labels.shape[1]
    positive = _out_of_fold(
        images.features, labels, attributes, rows, train, folds, lambda x, axis: scipy.special.expit(x)
    )
    parts = []
    for attribute in range(attributes):
        given = labels[:, attribute]
        if min(np.bincount(given[train], minlength=2)) < FOLDS:
            continue
        probabilities = np.stack([1 - positive[:, attribute], positive[:, attribute]], axis=1)
        suggested, confusion = confident_labels(probabilities, given)
        issues = _ranked(
            rows,
            np.full(len(rows), attribute),
            given,
            suggested,
            probabilities,
            _votes(neighbours, groups, rows, given, 2),
            suggested != given,
            unchecked=0,
            expected_wrong=expected_wrong(confusion, given),
            names=np.arange(2),
        )
        parts.append(issues)
    if not parts:
        raise InputError(
            f"labels cannot be checked: no attribute has {FOLDS} images of 0 and of 1; expected one"
        )
    return _merged(parts, unchecked=(attributes - len(parts)) * len(labels))


def confident_labels(
    probabilities: np.ndarray, given: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The label that confident learning counts each image as, and the confident joint.

    Args:
        probabilities: float [N, C], out of fold.
        given: int [N], labels; each of the classes occurs.

    Returns:
        int64 [N], the likeliest class j with p_j ≥ t_j, the given one where there is none;
        int64 [C, C], the counts of given and such labels.
    """
    classes = probabilities.shape[1]
    sums = np.bincount(given, probabilities[np.arange(len(given)), given], minlength=classes)
    thresholds = sums / np.bincount(given, minlength=classes)
    is_confident = probabilities >= thresholds
    likeliest = np.where(is_confident, probabilities, -1).argmax(axis=1)
    counted = is_confident.any(axis=1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (given[counted], likeliest[counted]), 1)
    return np.where(counted, likeliest, given), confusion


def expected_wrong(confusion: np.ndarray, given: np.ndarray) -> float:
    """The number of wrong labels by the joint, whose rows are scaled to the given labels.

    Args:
        confusion: int [C, C], of `confident_labels`.
        given: int [N], labels.
    """
    counts = np.bincount(given, minlength=len(confusion))
    rows = np.maximum(confusion.sum(axis=1), 1)
    return float((counts * (rows - np.diag(confusion)) / rows)[confusion.sum(axis=1) > 0].sum())


def _folds(labels, groups, seed):
    """A fold for each image: classes and copies are dealt evenly, copies together, int64 [N]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    if labels.ndim == 1:  # the images of a class one after the other
        order = order[np.argsort(labels[order], kind="stable")]
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % FOLDS
    grouped = np.flatnonzero(groups >= 0)
    firsts, first_rows = np.unique(groups[grouped], return_index=True)
    fold_of = np.zeros(int(firsts.max(initial=-1)) + 1, np.int64)
    fold_of[firsts] = folds[grouped[first_rows]]
    folds[grouped] = fold_of[groups[grouped]]
    return folds


def _out_of_fold(features, labels, outputs, rows, train, folds, activation: Callable):
    """The probabilities of rows by classifiers that were trained on the other folds, [K, outputs].

    C is chosen once, on all folds but the first: it is one number, and no label's own.
    """
    probabilities = np.empty((len(rows), outputs))
    c_values = logistic_regression.C_VALUES
    for fold in range(FOLDS):
        indices = rows[train[rows] & (folds[rows] != fold)]
        classifier, c = logistic_regression.fit(features, labels, outputs, indices, c_values)
        c_values = (c,)
        held_out = np.flatnonzero(folds[rows] == fold)
        for start in range(0, len(held_out), _BLOCK):
            block = held_out[start : start + _BLOCK]
            scores = classifier.scores(features, rows[block])
            probabilities[block] = activation(scores.astype(np.float64), axis=1)
    return probabilities


def _votes(neighbours, groups, rows, labels, classes):
    """The fraction of the neighbours' votes for each class, of labelled ones, float64 [K, C]."""
    votes = np.zeros((len(rows), classes))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        near = neighbours.rows[block]
        similarities = neighbours.similarities[block].astype(np.float64)
        weights = np.exp((similarities - similarities[:, :1]) / TEMPERATURE)
        own = groups[block][:, np.newaxis]
        is_copy = (own >= 0) & (groups[near] == own)
        weights[(near < 0) | (labels[near] < 0) | is_copy] = 0
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
        at = np.arange(start, start + len(block))[:, np.newaxis]
        np.add.at(votes, (at, np.maximum(labels[near], 0)), weights)
    return votes


def _ranked(
    rows,
    attributes,
    given,
    suggested,
    probabilities,
    votes,
    candidates,
    *,
    unchecked,
    expected_wrong,
    names,
):
    """The candidates whose neighbours agree, the most doubtful first."""
    images = np.arange(len(rows))
    given_p, suggested_p = probabilities[images, given], probabilities[images, suggested]
    given_vote, suggested_vote = votes[images, given], votes[images, suggested]
    scores = (suggested_p - given_p + suggested_vote - given_vote) / 2
    chosen = np.flatnonzero(candidates & (suggested_vote > given_vote) & (suggested_p > given_p))
    order = chosen[np.argsort(-scores[chosen], kind="stable")]
    return LabelIssues(
        rows[order],
        None if attributes is None else attributes[order],
        names[given[order]],
        names[suggested[order]],
        given_p[order],
        suggested_p[order],
        given_vote[order],
        suggested_vote[order],
        scores[order],
        len(rows),
        unchecked,
        float((probabilities.argmax(axis=1) == given).mean()),
        expected_wrong,
        int(candidates.sum()),
    )


def _merged(parts, unchecked):
    """Issues of several attributes as one list."""
    order = np.argsort(-np.concatenate([part.scores for part in parts]), kind="stable")
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])[order]
        for name, value in vars(parts[0]).items()
        if isinstance(value, np.ndarray)
    }
    return LabelIssues(
        **arrays,
        checked=sum(part.checked for part in parts),
        unchecked=unchecked,
        accuracy=float(np.mean([part.accuracy for part in parts])),
        expected_wrong=sum(part.expected_wrong for part in parts),
        confident=sum(part.confident for part in parts),
    )
