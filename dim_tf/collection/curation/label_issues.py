"""Labels that are probably wrong: an unseen classifier and the neighbours both contradict them.

Probabilities of each image come from a logistic regression on features that was trained on other
images (out of fold), so that no label speaks for itself. Candidates are those of confident learning
(`confident_learning.py`) whose neighbours' vote prefers the suggested class, too: where a
classifier errs because classes overlap, the neighbours often do not. Their score is how far both
prefer it, on average.

Confident learning names hard images besides wrong labels. How many, is measured: some labels are
swapped on purpose, and all is done again. With R(t), the fraction of these swaps that are named
with a score of t or more, and A(t), that of all labels, the fraction of wrong labels is at most
A(t) / R(t) for every t, hence at most π, the least of these; and of the labels named with such a
score at most π R(t) / A(t) are wrong (the mixture proportion of Blanchard, Lee & Scott 2010,
Semi-Supervised Novelty Detection). The scores are cut where this precision falls below the wanted.

Attributes are so many problems of two classes.
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
SWAPPED, SWAPS = 0.03, 200  # of the labels, to measure the recall, and how many at least
_MOST_SWAPPED = 0.1  # of the labels, where they are few
TEMPERATURE = 0.07  # of the votes, as evaluation/measures/knn.py has it
_COUNTED = 25  # swaps from which R(t) is estimated; above a higher t are too few
_BLOCK = 2**14


@dataclass(frozen=True)
class LabelIssues:
    """Labels that are doubtful, the most doubtful first.

    Attributes:
        rows: int64 [I].
        attributes: int64 [I], which of the attributes; 0 for classes.
        given: int64 [I], the label.
        suggested: int64 [I], another class; of attributes 0 or 1.
        given_probability: float64 [I], of the given label, out of fold.
        suggested_probability: float64 [I].
        given_vote: float64 [I], the fraction of the neighbours' votes.
        suggested_vote: float64 [I].
        scores: float64 [I] in (0, 1], how far both prefer the suggested label, on average.
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
        """Some of them; chosen: bool [I], or their places, int."""
        return LabelIssues(*(getattr(self, name)[chosen] for name in self.__annotations__))


@dataclass(frozen=True)
class LabelCheck:
    """Doubtful labels, and how far the search for them is to be trusted.

    Attributes:
        issues: the doubtful labels.
        checked: labels that were checked.
        unchecked: labels that were not: of classes, or attributes, of fewer than `FOLDS` images.
        accuracy: of the out-of-fold predictions.
        candidates: labels that confident learning alone names.
        expected_wrong: labels that confident learning expects to be wrong.
        cut: the least score of the issues.
        recall: of labels swapped on purpose, the fraction that is named with such a score.
        max_precision: at most this fraction of the issues is wrong.
        max_wrong: at most this fraction of all labels is wrong, π.
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
    """Looks for wrong labels; 16 bytes an image and class.

    Args:
        images: with labels: classes, or attributes.
        neighbours: of the images, which vote.
        precision: wanted of the issues, see the module; 0: all candidates.
        groups: int64 [N], of copies, -1 for none: they neither vote for each other nor are they in
            different folds. None: no copies.
        redundant: bool [N], copies that are checked but not trained on. None: none.
        seed: deals the images to folds, and draws the swaps.

    Raises:
        InputError: there are no labels, fewer than two classes of `FOLDS` images, or attributes
            other than 0 or 1.
        RunError: the features are not finite.
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
    """All of the labels that were checked; scores of -1 where one is no candidate."""

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
        """Labels of the classes or attributes with enough images, by new numbers; the old ones."""
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
        if labels.ndim == 1:  # the images of a class one after the other
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

        C is chosen on the folds but the first, once: it is one number, and of no label's own.
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
        """Scores the labels of rows, of one problem."""
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
    """Labels of which some are another class, or the other value of an attribute; and which."""
    fraction = min(max(SWAPPED, SWAPS / (labels >= 0).sum()), _MOST_SWAPPED)
    is_swapped = (rng.random(labels.shape) < fraction) & (labels >= 0)
    if labels.ndim == 2:
        return np.where(is_swapped, 1 - labels, labels), is_swapped
    classes = int(labels.max()) + 1
    others = (labels + rng.integers(1, classes, labels.shape)) % classes
    return np.where(is_swapped, others, labels), is_swapped


def _cut(scores, swap_scores, precision):
    """The least score at the wanted precision; there the recall and the precision; and π.

    Args:
        scores: float64 [K], of all labels; -1 for none.
        swap_scores: float64 [S], of labels that were swapped.
        precision: wanted; 0: no cut.
    """
    if not len(swap_scores):
        return 0.0, 0.0, 1.0, 1.0
    cuts = np.unique(np.concatenate([scores[scores > 0], swap_scores[swap_scores > 0]]))
    if not len(cuts):
        return 0.0, 0.0, 1.0, 1.0
    named = _at_least(scores, cuts)  # A
    recall = _at_least(swap_scores, cuts)  # R
    if not recall[0]:  # no swapped label is a candidate, so that nothing is known of precision
        return float(np.nextafter(cuts[-1], np.inf) if precision else cuts[0]), 0.0, 0.0, 1.0
    enough = recall >= min(_COUNTED / len(swap_scores), recall[0])
    max_wrong = float(np.min(named[enough] / recall[enough]))
    precisions = np.minimum(max_wrong * recall / np.maximum(named, 1 / len(scores)), 1)
    good = np.flatnonzero(precisions >= precision)
    best = good[0] if len(good) else len(cuts) - 1
    return float(cuts[best]), float(recall[best]), float(precisions[best]), max_wrong


def _at_least(scores, cuts):
    """The fraction of scores that reach each of the cuts."""
    ordered = np.sort(scores)
    return 1 - np.searchsorted(ordered, cuts, "left") / len(scores)
