"""Labels that are probably wrong: an unseen classifier and the neighbours both contradict them.

The probabilities of each image come from a logistic regression on features that was trained on
other images (out of fold), so that no label speaks for itself. Candidates are those of confident
learning (`confident_learning.py`) for which the neighbours' vote prefers the suggested class, too:
if a classifier errs because classes overlap, the neighbours often do not. The score is how strongly
both prefer the suggested class, on average.

Confident learning also names hard images, not only wrong labels. How many is measured: some labels
are swapped on purpose, and everything is repeated. Let R(t) be the fraction of these swaps that are
named with a score of t or more, and A(t) the same fraction of all labels. The fraction of wrong
labels is at most A(t) / R(t) for every t, hence at most π, the smallest of these. Of the labels
named with such a score, at most π R(t) / A(t) are wrong (the mixture proportion of Blanchard, Lee &
Scott 2010, Semi-Supervised Novelty Detection). The scores are cut where this precision falls below
the wanted one.

Each attribute is a separate problem of two classes.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special

from dim_tf.collection.curation.confident_learning import find_candidates
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.evaluation import logistic_regression
from dim_tf.system.errors import InputError

FOLDS = 5
SWAPPED, SWAPS = 0.03, 200  # labels swapped to measure the recall: fraction, and least number
_MOST_SWAPPED = 0.1  # largest fraction of swapped labels, if there are few labels
TEMPERATURE = 0.07  # of the votes, as in evaluation/measures/knn.py
_COUNTED = 25  # swaps needed to estimate R(t); there are too few above a higher t
_BLOCK = 2**14


@dataclass(frozen=True)
class LabelIssues:
    """Doubtful labels, the most doubtful first.

    Attributes:
        rows: int64 [I].
        attributes: int64 [I], the index of the attribute; 0 for classes.
        given: int64 [I], the given label.
        suggested: int64 [I], another class; for attributes 0 or 1.
        given_probability: float64 [I], probability of the given label, out of fold.
        suggested_probability: float64 [I], that of the suggested label.
        given_vote: float64 [I], the given label's fraction of the neighbours' votes.
        suggested_vote: float64 [I], that of the suggested label.
        scores: float64 [I] in (0, 1], how strongly both prefer the suggested label, on average.
    """

    rows: np.ndarray
    attributes: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    given_probability: np.ndarray
    suggested_probability: np.ndarray
    given_vote: np.ndarray
    suggested_vote: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def only(self, chosen: np.ndarray) -> "LabelIssues":
        """Some of them; chosen: bool [I], or indices, int."""
        return LabelIssues(*(getattr(self, name)[chosen] for name in self.__annotations__))


@dataclass(frozen=True)
class LabelCheck:
    """Doubtful labels, and how reliable the search for them is.

    Attributes:
        issues: The doubtful labels.
        checked: Number of labels that were checked.
        unchecked: Number of labels that were not: those of classes or attributes with fewer than
            `FOLDS` images.
        accuracy: Accuracy of the out-of-fold predictions.
        candidates: Number of labels that confident learning alone names.
        expected_wrong: Number of labels that confident learning expects to be wrong.
        cut: The smallest score of the issues.
        recall: Of the labels swapped on purpose, the fraction that is named with such a score.
        max_precision: At most this fraction of the issues is wrong.
        max_wrong: At most this fraction of all labels is wrong, π.
    """

    issues: LabelIssues
    checked: int
    unchecked: int
    accuracy: float
    candidates: int
    expected_wrong: float
    cut: float
    recall: float
    max_precision: float
    max_wrong: float


def check_labels(
    images: EmbeddedImages,
    neighbours: NeighbourLists,
    *,
    precision: float,
    groups: np.ndarray | None = None,
    redundant: np.ndarray | None = None,
    seed: int = 0,
) -> LabelCheck:
    """Looks for wrong labels; takes 16 bytes per image and class.

    Args:
        images: Images with labels: classes, or attributes.
        neighbours: Nearest neighbours of the images, which vote.
        precision: Wanted precision of the issues, see the module; 0: all candidates.
        groups: int64 [N], groups of copies, -1 for none. Copies neither vote for each other nor are
            in different folds. None: no copies.
        redundant: bool [N], copies that are checked but not trained on. None: none.
        seed: Seed of the folds and of the swaps.

    Raises:
        InputError: There are no labels, fewer than two classes with `FOLDS` images, or attributes
            other than 0 or 1.
        RunError: The features are not finite.
    """
    if images.labels is None:
        raise InputError("labels cannot be checked where there are none; give class folders or CSV")
    rng = np.random.default_rng(seed)
    count = len(images.labels)
    groups = np.full(count, -1) if groups is None else groups
    train = np.ones(count, bool) if redundant is None else ~redundant
    problem = _Problem(images.features, neighbours, groups, train)
    labels, names = problem.checkable(images.labels)
    folds = problem.deal(labels, rng)
    found = problem.check(labels, folds)
    swapped, is_swapped = _swap(labels, rng)
    swaps = problem.check(swapped, folds).labels
    of_entries = swaps.rows if labels.ndim == 1 else (swaps.rows, swaps.attributes)
    swap_scores = swaps.scores[is_swapped[of_entries]]
    scores = found.labels.scores
    cut, recall, max_precision, max_wrong = _cut(scores, swap_scores, precision)
    chosen = np.flatnonzero(scores >= max(cut, 1e-12))
    issues = found.labels.only(chosen[np.argsort(-scores[chosen], kind="stable")])
    if labels.ndim == 1:
        issues = dataclasses.replace(
            issues, given=names[issues.given], suggested=names[issues.suggested]
        )
    else:
        issues = dataclasses.replace(issues, attributes=names[issues.attributes])
    return LabelCheck(
        issues,
        len(scores),
        int((images.labels >= 0).sum()) - len(scores),
        found.accuracy,
        found.candidates,
        found.expected_wrong,
        cut,
        recall,
        max_precision,
        max_wrong,
    )


@dataclass(frozen=True)
class _Checked:
    """All labels that were checked; a score of -1 means that the label is not a candidate."""

    labels: LabelIssues
    accuracy: float
    candidates: int
    expected_wrong: float


@dataclass(frozen=True)
class _Problem:
    """What does not change with the labels: see `check_labels`."""

    features: np.ndarray
    neighbours: NeighbourLists
    groups: np.ndarray
    train: np.ndarray

    def checkable(self, labels):
        """Labels of classes or attributes with enough images, renumbered; the old numbers."""
        if labels.ndim == 2:
            if not np.isin(labels, (0, 1)).all():
                raise InputError(
                    "attributes cannot be checked where some are neither 0 nor 1; give a value to "
                    "each image, or no attributes"
                )
            ones = labels[self.train].sum(axis=0)
            names = np.flatnonzero(np.minimum(ones, self.train.sum() - ones) >= FOLDS)
            if not len(names):
                raise InputError(
                    f"labels cannot be checked: no attribute has {FOLDS} images of 0 and of 1"
                )
            return labels[:, names], names
        sizes = np.bincount(labels[(labels >= 0) & self.train], minlength=labels.max() + 1)
        names = np.flatnonzero(sizes >= FOLDS)
        if len(names) < 2:
            raise InputError(
                f"labels cannot be checked: {len(names)} of the classes have {FOLDS} images or "
                "more; expected at least 2"
            )
        number = np.full(len(sizes), -1)
        number[names] = np.arange(len(names))
        return np.where(labels >= 0, number[labels], -1), names

    def deal(self, labels, rng):
        """A fold for each image: classes are dealt evenly, copies together, int64 [N]."""
        order = rng.permutation(len(labels))
        if labels.ndim == 1:  # the images of a class one after another
            order = order[np.argsort(labels[order], kind="stable")]
        folds = np.empty(len(labels), np.int64)
        folds[order] = np.arange(len(labels)) % FOLDS
        grouped = np.flatnonzero(self.groups >= 0)
        numbers, first, inverse = np.unique(
            self.groups[grouped], return_index=True, return_inverse=True
        )
        if len(numbers):
            folds[grouped] = folds[grouped[first]][inverse]
        return folds

    def check(self, labels, folds) -> _Checked:
        """Scores all labels, of classes or of attributes."""
        if labels.ndim == 1:
            rows = np.flatnonzero(labels >= 0)
            outputs = int(labels.max()) + 1
            probabilities = self._out_of_fold(labels, outputs, rows, folds, scipy.special.softmax)
            return self._score(labels, rows, probabilities, attribute=0)
        rows, attributes = np.arange(len(labels)), labels.shape[1]
        positive = self._out_of_fold(labels, attributes, rows, folds, _sigmoid)
        parts = [
            self._score(
                labels[:, attribute],
                rows,
                np.stack([1 - positive[:, attribute], positive[:, attribute]], axis=1),
                attribute,
            )
            for attribute in range(attributes)
        ]
        arrays = [
            np.concatenate([getattr(part.labels, name) for part in parts])
            for name in LabelIssues.__annotations__
        ]
        return _Checked(
            LabelIssues(*arrays),
            float(np.mean([part.accuracy for part in parts])),
            sum(part.candidates for part in parts),
            sum(part.expected_wrong for part in parts),
        )

    def _out_of_fold(self, labels, outputs, rows, folds, activation):
        """Probabilities of rows by classifiers trained on the other folds, float32 [K, outputs].

        C is chosen once, on all folds but the first: it is one number and depends on no single
        label.
        """
        probabilities = np.empty((len(rows), outputs), np.float32)
        c_values: Sequence[float] = logistic_regression.C_VALUES
        for fold in range(FOLDS):
            indices = rows[self.train[rows] & (folds[rows] != fold)]
            classifier, c = logistic_regression.fit(
                self.features, labels, outputs, indices, c_values
            )
            c_values = (c,)
            held_out = np.flatnonzero(folds[rows] == fold)
            for start in range(0, len(held_out), _BLOCK):
                block = held_out[start : start + _BLOCK]
                scores = classifier.scores(self.features, rows[block])
                probabilities[block] = activation(scores, axis=1)
        return probabilities

    def _score(self, labels, rows, probabilities, attribute) -> _Checked:
        """Scores the labels of these rows, for one problem."""
        given, images = labels[rows], np.arange(len(rows))
        found = find_candidates(probabilities, given)
        given_p = probabilities[images, given].astype(np.float64)
        suggested_p = probabilities[images, found.suggested].astype(np.float64)
        given_vote, suggested_vote = self._votes(labels, rows, given, found.suggested)
        agree = found.is_candidate & (suggested_vote > given_vote) & (suggested_p > given_p)
        scores = (suggested_p - given_p + suggested_vote - given_vote) / 2
        of_rows = LabelIssues(
            rows,
            np.full(len(rows), attribute),
            given,
            found.suggested,
            given_p,
            suggested_p,
            given_vote,
            suggested_vote,
            np.where(agree, scores, -1),
        )
        return _Checked(
            of_rows,
            float((probabilities.argmax(axis=1) == given).mean()),
            int(found.is_candidate.sum()),
            found.expected_wrong,
        )

    def _votes(self, labels, rows, given, suggested):
        """The fractions of the labelled neighbours' votes for two labels of each row."""
        votes = np.zeros((2, len(rows)))
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            near = self.neighbours.rows[rows[block]]
            similarities = self.neighbours.similarities[rows[block]].astype(np.float64)
            weights = np.exp((similarities - similarities[:, :1]) / TEMPERATURE)
            own = self.groups[rows[block]][:, np.newaxis]
            is_copy = (own >= 0) & (self.groups[near] == own)
            weights[(near < 0) | (labels[near] < 0) | is_copy] = 0
            sums = np.maximum(weights.sum(axis=1), 1e-300)
            for vote, candidate in zip(votes, (given, suggested), strict=True):
                is_for = labels[near] == candidate[block, np.newaxis]
                vote[block] = (weights * is_for).sum(axis=1) / sums
        return votes


def _sigmoid(scores, axis):
    return scipy.special.expit(scores)


def _swap(labels, rng):
    """Labels, some of which are swapped for another class or attribute value; and which ones."""
    fraction = min(max(SWAPPED, SWAPS / (labels >= 0).sum()), _MOST_SWAPPED)
    is_swapped = (rng.random(labels.shape) < fraction) & (labels >= 0)
    if labels.ndim == 2:
        return np.where(is_swapped, 1 - labels, labels), is_swapped
    classes = int(labels.max()) + 1
    others = (labels + rng.integers(1, classes, labels.shape)) % classes
    return np.where(is_swapped, others, labels), is_swapped


def _cut(scores, swap_scores, precision):
    """The smallest score with the wanted precision; the recall and precision there; and π.

    Args:
        scores: float64 [K], scores of all labels; -1 for none.
        swap_scores: float64 [S], scores of the labels that were swapped.
        precision: Wanted precision; 0: no cut.
    """
    if not len(swap_scores):
        return 0.0, 0.0, 1.0, 1.0
    cuts = np.unique(np.concatenate([scores[scores > 0], swap_scores[swap_scores > 0]]))
    if not len(cuts):
        return 0.0, 0.0, 1.0, 1.0
    named = _at_least(scores, cuts)  # A
    recall = _at_least(swap_scores, cuts)  # R
    if not recall[0]:  # no swapped label is a candidate, so the precision is unknown
        return float(np.nextafter(cuts[-1], np.inf) if precision else cuts[0]), 0.0, 0.0, 1.0
    enough = recall >= min(_COUNTED / len(swap_scores), recall[0])
    max_wrong = float(np.min(named[enough] / recall[enough]))
    precisions = np.minimum(max_wrong * recall / np.maximum(named, 1 / len(scores)), 1)
    good = np.flatnonzero(precisions >= precision)
    best = good[0] if len(good) else len(cuts) - 1
    return float(cuts[best]), float(recall[best]), float(precisions[best]), max_wrong


def _at_least(scores, cuts):
    """The fraction of scores that reach each cut."""
    ordered = np.sort(scores)
    return 1 - np.searchsorted(ordered, cuts, "left") / len(scores)
