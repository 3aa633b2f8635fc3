"""What the encoder's training adds: the same head on other features, and on fewer labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.bootstrap import Interval
from dim_tf.finetuning import head, quality
from dim_tf.finetuning.class_weights import NONE
from dim_tf.settings.finetuning import FineTuningSettings

DRAWS: int = FineTuningSettings.default("finetune_draws")
COUNTS: tuple[int, ...] = FineTuningSettings.default("finetune_label_counts")


@dataclass(frozen=True)
class FeaturePair:
    """The features of one encoder.

    Attributes:
        train: float32 [N, F], features of all labelled training images.
        test: float32 [M, F], features of the test images.
    """

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class ReferenceAccuracy:
    """The same head on other features.

    Attributes:
        name: Name of the features, such as "random_weights" or "start_weights".
        accuracy: Accuracy on the test images.
        interval: Its 95 % interval.
        gain: Accuracy of the classifier minus this one.
        gain_interval: 95 % interval of the gain, by the bootstrap over test images, or groups of
            them, on which both are measured.
    """

    name: str
    accuracy: float
    interval: Interval
    gain: float
    gain_interval: Interval


@dataclass(frozen=True)
class LabelsPoint:
    """The head trained on a number of labels.

    Attributes:
        labels: Labels of each class, or all of them if a class has fewer; for attributes, labelled
            images.
        images: Number of images that these are.
        accuracy: Accuracy on the test images, as the mean over the draws.
        interval: 95 % interval of that mean, by the bootstrap over test images; the draws stay the
            same.
        lowest: Accuracy of the worst draw.
        highest: Accuracy of the best draw.
        draws: Number of draws of the labels.
    """

    labels: int
    images: int
    accuracy: float
    interval: Interval
    lowest: float
    highest: float
    draws: int


def compare(
    correct: np.ndarray,
    references: Mapping[str, FeaturePair],
    labels: np.ndarray,
    test_labels: np.ndarray,
    label_names: tuple[str, ...],
    *,
    groups: np.ndarray | None,
    indices: np.ndarray | None = None,
    class_weights: str = NONE,
) -> tuple[ReferenceAccuracy, ...]:
    """Trains the same head on the features of references, with the same labels.

    Args:
        correct: `quality.correctness` of the classifier on the M test images.
        references: Features, by name.
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        test_labels: Those of the M test images, in the same form.
        label_names: Names of the classes or attributes.
        groups: int [M], as for `quality.accuracy_interval`.
        indices: int [K], the images to train on; None: all.
        class_weights: One of `settings.finetuning.CLASS_WEIGHTS`.

    Raises:
        InputError: As for `head.fit`.
    """
    compared = []
    for name, features in references.items():
        trained, _ = head.fit(
            features.train, labels, label_names, indices=indices, class_weights=class_weights
        )
        of_reference = quality.correctness(trained.probabilities(features.test), test_labels)
        compared.append(
            ReferenceAccuracy(
                name,
                float(of_reference.mean()),
                quality.accuracy_interval(of_reference, labels.ndim == 2, groups),
                float(correct.mean() - of_reference.mean()),
                bootstrap.mean_interval(correct - of_reference, groups),
            )
        )
    return tuple(compared)


def nested_subsets(
    labels: np.ndarray, counts: Sequence[int], seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Draws sets of labelled images, each of which contains the sets before it.

    Args:
        labels: int [N], classes; or int [N, A], attributes.
        counts: Labels of each class; for attributes, images. Ascending.
        seed: Seed of the draw.

    Yields:
        Each count up to the size of the largest class, the last one with all images, and int64
        indices in ascending order.
    """
    rng = np.random.default_rng(seed)
    if labels.ndim == 2:
        rank = rng.permutation(len(labels))
    else:
        rank = np.empty(len(labels), np.int64)
        for label in np.unique(labels):
            of_class = np.flatnonzero(labels == label)
            rank[of_class] = rng.permutation(len(of_class))
    largest = int(rank.max()) + 1
    for count in (*(c for c in counts if c < largest), largest):
        yield count, np.flatnonzero(rank < count)


def labels_curve(
    features: FeaturePair,
    labels: np.ndarray,
    test_labels: np.ndarray,
    label_names: tuple[str, ...],
    *,
    groups: np.ndarray | None,
    counts: Sequence[int] = COUNTS,
    draws: int = DRAWS,
    class_weights: str = NONE,
) -> tuple[LabelsPoint, ...]:
    """The accuracy of the head on frozen features against the number of labels.

    Args:
        features: Features of the encoder.
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        test_labels: Those of the test images, in the same form.
        label_names: Names of the classes or attributes.
        groups: int [M], as for `quality.accuracy_interval`.
        counts: Labels of each class; for attributes, images. Ascending.
        draws: Number of draws of nested sets of labels. All labels are one set, which is trained on
            once.
        class_weights: One of `settings.finetuning.CLASS_WEIGHTS`.

    Returns:
        A point for each number of labels. For attributes, numbers at which one of them has a single
        value in a draw are left out.

    Raises:
        InputError: As for `head.fit` with all labels.
    """
    head.check_labels(labels, label_names)
    sets: dict[int, list[np.ndarray]] = {}
    for seed in range(draws):
        for count, indices in nested_subsets(labels, counts, seed):
            if len(indices) < len(labels) or count not in sets:
                sets.setdefault(count, []).append(indices)
    points = []
    for count, drawn in sets.items():
        if labels.ndim == 2 and any(
            (labels[indices] == labels[indices][:1]).all(axis=0).any() for indices in drawn
        ):
            continue
        correct = []
        for indices in drawn:
            trained, _ = head.fit(
                features.train, labels, label_names, indices=indices, class_weights=class_weights
            )
            correct.append(quality.correctness(trained.probabilities(features.test), test_labels))
        accuracies = [float(x.mean()) for x in correct]
        points.append(
            LabelsPoint(
                count,
                len(drawn[0]),
                float(np.mean(accuracies)),
                bootstrap.mean_interval(np.mean(correct, axis=0), groups),
                min(accuracies),
                max(accuracies),
                len(drawn),
            )
        )
    return tuple(points)
