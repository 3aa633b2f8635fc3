"""Trains a classifier on labelled images (head, encoder, temperature) and measures it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.splits import Images, Split, Splits
from dim_tf.data.validation_split import select
from dim_tf.evaluation.representation import BATCH_PIXELS, BATCH_SIZE
from dim_tf.export.feature import Feature
from dim_tf.export.linear_head import LinearHead, probabilities
from dim_tf.finetuning import comparison, head, quality, validation_split
from dim_tf.finetuning.calibration import Temperature, fit_temperature
from dim_tf.finetuning.comparison import FeaturePair
from dim_tf.finetuning.finetune import FineTuned, finetune
from dim_tf.finetuning.report import report
from dim_tf.settings.finetuning import ALL, FineTuningSettings
from dim_tf.system.errors import InputError
from keras_models.encoders import Encoder

FROZEN = "frozen_features"  # in the comparison: the head on the encoder before its training


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier that can be exported (`export.classifier`) together with its encoder.

    Attributes:
        head: The head on the encoder's feature, with the temperature folded in.
        temperature: The temperature of the head.
        tuned: The training of the encoder; None: it was not trained.
        probabilities: Probabilities of the labelled test images, float32 [M, labels]; None: there
            are none.
        report: Training and quality, from `finetuning.report`.
    """

    head: LinearHead
    temperature: Temperature
    tuned: FineTuned | None
    probabilities: np.ndarray | None
    report: dict[str, Any]


def features_of(encoder: Encoder, feature: Feature, images: Images) -> np.ndarray:
    """The features of a data set's images, float32 [N, F].

    Args:
        encoder: Built.
        feature: A feature of the encoder.
        images: [N, H, W, C], uint8, or float32 in [0, 1].
    """
    height, width, channels = encoder.image_shape
    size = max(min(BATCH_SIZE, BATCH_PIXELS // (height * width)), 1)

    def encode(pixels):
        x = image_ops.encoder_input(image_ops.to_unit(pixels), channels)
        return feature(encoder(x, training=False))

    # Traced once, here: TensorFlow warns if the calls of several encoders are traced.
    spec = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
    traced = tf.function(encode).get_concrete_function(spec)

    features = np.empty((len(images), feature.dimension(encoder)), np.float32)
    for first in range(0, len(images), size):
        features[first : first + size] = traced(tf.constant(images[first : first + size]))
    return features


def labelled_splits(splits: Splits) -> tuple[Split, Split | None]:
    """The labelled training images, and the labelled test images; None: there are none.

    Raises:
        InputError: There are no labels.
    """
    train = splits.labelled or splits.train
    train = select(train, _labelled(train))
    if splits.test.labels is None:
        return train, None
    is_tested = _labelled(splits.test)
    return train, select(splits.test, is_tested) if len(is_tested) else None


def check_labels(splits: Splits, settings: FineTuningSettings, seed: int) -> None:
    """Checks that a classifier can be learned, before anything is computed.

    Args:
        splits: The data.
        settings: How it is trained.
        seed: Seed of the validation split.

    Raises:
        InputError: There are no labels, only one class, a class without a training image, or too
            few images for the validation split.
    """
    train, _ = labelled_splits(splits)
    assert train.labels is not None
    head.check_labels(train.labels, splits.label_names)
    validation_split.split(train.labels, settings.validation_fraction, seed, train.groups)


def train_classifier(
    encoder: Encoder,
    feature: Feature,
    train: Split,
    test: Split | None,
    label_names: tuple[str, ...],
    settings: FineTuningSettings,
    *,
    seed: int,
    augmentation: str,
    folder: Path,
    references: Mapping[str, FeaturePair] | None = None,
) -> TrainedClassifier:
    """Trains and measures a classifier.

    Args:
        encoder: Built, in float32. With `settings.layers` "all" it is trained.
        feature: The feature that the head takes.
        train: The training images. Images of class -1 have no label and are left out.
        test: The test images, in the same form. If it is None or has no label, nothing is measured.
        label_names: Names of the classes or attributes.
        settings: How it is trained.
        seed: Seed of the validation split and of training.
        augmentation: One of `registry.AUGMENTATIONS`, used while the encoder is trained.
        folder: For checkpoints while the encoder is trained.
        references: Other features of all images of `train` and `test`, by name, on which the same
            head is trained for comparison: those of random weights, those of the start weights.

    Returns:
        The classifier. `encoder` is trained in place.

    Raises:
        InputError: There are too few labels, or the folder holds another classifier.
        RunError: Features are not finite, or a file cannot be written.
        Stopped: SIGTERM or SIGINT arrived; a checkpoint was saved.
    """
    examples = _examples(train, test, label_names, settings, seed)
    frozen = _fit_frozen_head(encoder, feature, examples, settings)
    tuned = None
    if settings.layers == ALL:
        tuned = finetune(
            encoder,
            feature,
            frozen.head,
            select(examples.train, examples.train_indices),
            select(examples.train, examples.validation_indices),
            settings,
            seed=seed,
            augmentation=augmentation,
            folder=folder,
        )
    temperature = _fit_temperature(examples, frozen, tuned)
    predicted = _predict(examples, frozen, tuned, temperature)
    compared = {} if tuned is None else {FROZEN: frozen.features}
    for name, pair in (references or {}).items():
        compared[name] = FeaturePair(pair.train[examples.labelled], pair.test[examples.tested])
    content = report(
        train_images=len(examples.train_indices),
        c=frozen.c,
        class_weights=settings.class_weights,
        temperature=temperature,
        tuned=tuned,
        **_measure(examples, frozen, predicted, compared, settings),
    )
    trained = tuned.classifier.linear_head(label_names) if tuned else frozen.head
    return TrainedClassifier(
        trained.at_temperature(temperature.value), temperature, tuned, predicted, content
    )


@dataclass(frozen=True)
class _Examples:
    """Labelled images.

    Attributes:
        train: Labelled images for training and validation.
        test: Labelled test images; None: there are none.
        label_names: Names of the classes or attributes.
        train_indices: int64, the images of `train` to train on.
        validation_indices: int64, the other images of `train`.
        labelled: int64, the indices of `train` among all training images.
        tested: int64, the indices of `test` among all test images.
    """

    train: Split
    test: Split | None
    label_names: tuple[str, ...]
    train_indices: np.ndarray
    validation_indices: np.ndarray
    labelled: np.ndarray
    tested: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The labels of `train`."""
        assert self.train.labels is not None
        return self.train.labels

    @property
    def test_labels(self) -> np.ndarray:
        """The labels of `test`."""
        assert self.test is not None
        assert self.test.labels is not None
        return self.test.labels

    @property
    def test_groups(self) -> np.ndarray | None:
        """The groups of `test`."""
        return self.test.groups if self.test else None


def _examples(train, test, label_names, settings, seed) -> _Examples:
    """The images that have a label, and which of them are for validation."""
    labelled = _labelled(train)
    train = select(train, labelled)
    head.check_labels(train.labels, label_names)
    indices = validation_split.split(train.labels, settings.validation_fraction, seed, train.groups)
    tested = _labelled(test) if test is not None else np.zeros(0, np.int64)
    return _Examples(
        train,
        select(test, tested) if len(tested) else None,
        label_names,
        *indices,
        labelled,
        tested,
    )


@dataclass(frozen=True)
class _FrozenHead:
    """The head on the features of the encoder before its training.

    Attributes:
        head: The trained head.
        c: Inverse strength of the regularisation of its logistic regression.
        features: Features of the images of `_Examples.train` and `.test`; [0, F] without test
            images.
    """

    head: LinearHead
    c: float
    features: FeaturePair


def _fit_frozen_head(encoder, feature, examples: _Examples, settings) -> _FrozenHead:
    features = features_of(encoder, feature, examples.train.images)
    test_features = features[:0]
    if examples.test is not None:
        test_features = features_of(encoder, feature, examples.test.images)
    fitted, c = head.fit(
        features,
        examples.labels,
        examples.label_names,
        indices=examples.train_indices,
        class_weights=settings.class_weights,
    )
    return _FrozenHead(fitted, c, FeaturePair(features, test_features))


def _fit_temperature(examples, frozen, tuned) -> Temperature:
    """The temperature of the classifier, fitted to the validation images."""
    indices = examples.validation_indices
    if tuned is None:
        logits = frozen.head.logits(frozen.features.train[indices])
    else:
        logits = tuned.classifier.logits_of(select(examples.train, indices).images)
    return fit_temperature(logits, examples.labels[indices])


def _predict(examples, frozen, tuned, temperature) -> np.ndarray | None:
    """The probabilities of the test images, float32 [M, labels]; None: there are none."""
    if examples.test is None:
        return None
    if tuned is None:
        logits = frozen.head.logits(frozen.features.test)
    else:
        logits = tuned.classifier.logits_of(examples.test.images)
    return probabilities(logits / temperature.value, examples.labels.ndim == 2)


def _measure(
    examples: _Examples,
    frozen: _FrozenHead,
    predicted: np.ndarray | None,
    compared: Mapping[str, FeaturePair],
    settings: FineTuningSettings,
) -> dict[str, Any]:
    """Quality, comparison and curve of labels, in the form that `report` takes.

    Args:
        examples: Labelled images.
        frozen: The head and features that give the curve of labels.
        predicted: Probabilities of the test images; None: nothing is measured.
        compared: Other features, by name, on which the same head is trained.
        settings: Settings of the training.
    """
    if predicted is None:
        return {"quality": None}
    test_labels, names = examples.test_labels, examples.label_names
    groups = examples.test_groups
    return {
        "quality": quality.measure(predicted, test_labels, names, groups),
        "comparison": comparison.compare(
            quality.correctness(predicted, test_labels),
            compared,
            examples.labels,
            test_labels,
            names,
            indices=examples.train_indices,
            class_weights=settings.class_weights,
            groups=groups,
        ),
        "labels_curve": comparison.labels_curve(
            frozen.features,
            examples.labels,
            test_labels,
            names,
            counts=settings.label_counts,
            draws=settings.draws,
            class_weights=settings.class_weights,
            groups=groups,
        ),
    }


def _labelled(split: Split) -> np.ndarray:
    """Indices of the images that have a label, int64.

    Raises:
        InputError: No image has a label.
    """
    if split.labels is None:
        raise InputError(
            "these images have no labels, from which a classifier is learned; put each class in a "
            "folder of its own, or give --labels=FILE.csv"
        )
    if split.labels.ndim == 2:
        return np.arange(len(split.labels))
    return np.flatnonzero(split.labels >= 0)
