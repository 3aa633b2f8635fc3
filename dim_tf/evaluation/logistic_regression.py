"""Logistic regression on frozen features, whose regularisation is chosen on validation images."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from dim_tf.evaluation import linear_classifier
from dim_tf.evaluation.linear_classifier import LinearClassifier, Problem

C_VALUES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
DEFAULT_C = 1.0  # if there are too few images to choose
TOLERANCE = 1e-5
MAX_SELECTION_IMAGES = 10_000
VALIDATION_FRACTION = 0.2
MIN_VALIDATION_IMAGES = 10


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    outputs: int,
    indices: np.ndarray | None = None,
    c_values: Sequence[float] = C_VALUES,
    class_weights: np.ndarray | None = None,
) -> tuple[LinearClassifier, float]:
    """Trains a classifier: multinomial for classes, one for each attribute.

    C, in `linear_classifier`, is the variance of a normal prior on the weights (Bishop 2006,
    section 4.5). It is chosen by the loss on a fifth of the training images; at most 10,000 images
    are drawn for the choice, because each value costs a training.

    Args:
        features: float32 [N, F].
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        outputs: Number of classes, or A.
        indices: int [K], the images to train on; None: all.
        c_values: Values to choose from, ascending.
        class_weights: Factors of the losses, as for `linear_classifier.softmax_loss` and
            `sigmoid_loss`; None: 1.

    Returns:
        The classifier trained on all images, and its C.
    """
    unweighted = (
        linear_classifier.sigmoid_loss if labels.ndim == 2 else linear_classifier.softmax_loss
    )
    loss: linear_classifier.Loss = partial(unweighted, class_weights=class_weights)
    images = np.arange(len(features)) if indices is None else indices
    drawn = np.random.default_rng(0).permutation(images)[:MAX_SELECTION_IMAGES]
    count = int(len(drawn) * VALIDATION_FRACTION)
    validation, train = drawn[:count], drawn[count:]
    can_choose = count >= MIN_VALIDATION_IMAGES
    if labels.ndim == 1:  # a class that is not trained on would demand the smallest C
        can_choose &= set(labels[validation]) <= set(labels[train])
    best_c, least, classifier = DEFAULT_C, np.inf, None
    if can_choose:
        selection = Problem(features, labels, outputs, loss, indices=train)
    for c in c_values if can_choose else ():
        classifier = selection.fit(c, initial=classifier, tolerance=TOLERANCE)
        validation_loss, _ = loss(labels[validation], classifier.scores(features, validation))
        if validation_loss >= least:
            break  # it falls, then rises
        best_c, least = c, validation_loss
    problem = Problem(features, labels, outputs, loss, indices=indices)
    return problem.fit(best_c, tolerance=TOLERANCE), best_c
