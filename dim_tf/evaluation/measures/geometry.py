"""Alignment, uniformity and effective rank of a representation; no labels needed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from scipy.special import entr

from dim_tf.data import pipeline
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measure import MetricInfo, Result
from dim_tf.evaluation.measure_spec import Encode, MeasureSpec
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.standardisation import moments
from dim_tf.system.errors import RunError
from keras_models.distribute.randomness import derive_seed

MAX_IMAGES = 5000  # test images measured
AUGMENTATION = "natural"
SHARPNESS = 2.0  # t of the uniformity
CHUNK_SIZE = 500


@dataclass(frozen=True)
class Geometry:
    """Alignment and uniformity (Wang & Isola 2020) and effective rank (Roy & Vetterli 2007).

    None of these ranks representations by itself: a constant is perfectly aligned, and noise is
    perfectly uniform and of full rank.

    Attributes:
        representation: Its test images are measured.
        encode: images -> their representation, by the same encoder; None: without alignment, which
            needs features of augmented images.
        seed: Seed of the augmentations.
    """

    representation: Representation
    encode: Encode | None
    seed: int = 0

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        metrics = {
            "uniformity": MetricInfo("", None, "uniformity (lower: more spread)"),
            "effective_rank": MetricInfo("", None, "effective rank"),
        }
        if self.encode is not None:
            metrics["alignment"] = MetricInfo("", None, "alignment of two views (lower: closer)")
        return metrics

    @property
    def protocol(self) -> dict[str, str]:
        images = f"the first {min(MAX_IMAGES, len(self.representation.data.test)):,} test images"
        protocol = {
            "uniformity": (
                f"logarithm of the mean of exp(-{SHARPNESS:g} |x - y|²) over pairs of features of "
                f"unit length, of {images}"
            ),
            "effective_rank": (
                "exponential of the entropy of the singular values, over their sum, of the "
                f"features less their mean, of {images}; 1 of a constant"
            ),
        }
        if self.encode is not None:
            protocol["alignment"] = (
                "mean squared distance of the features, of unit length, of two random views "
                f"(random shifts and flips) of an image, of {images}; 0: the same, 2: unrelated"
            )
        return protocol

    def run(self) -> Iterator[Result]:
        for endpoint, features in self.representation.test.items():
            yield Result("uniformity", endpoint, uniformity(features[:MAX_IMAGES]))
            yield Result("effective_rank", endpoint, effective_rank(features[:MAX_IMAGES]))
        if self.encode is not None:
            views = self.encode(self._two_views())
            for endpoint, features in views.train.items():
                yield Result("alignment", endpoint, alignment(features, views.test[endpoint]))

    def _two_views(self) -> EvaluationData:
        """One random view of the test images as training images, and another as test images."""
        data = self.representation.data
        images, labels = data.test.images[:MAX_IMAGES], data.test.labels[:MAX_IMAGES]

        def view(number):
            seed = derive_seed(self.seed, f"view {number}")
            augmented = data.storage.new(images.shape, images.dtype)
            for first in range(0, len(images), CHUNK_SIZE):
                augmented.append(
                    pipeline.apply_augmentation(
                        tf.constant(images[first : first + CHUNK_SIZE]),
                        AUGMENTATION,
                        tf.constant([seed, first], tf.int64),
                    ).numpy()
                )
            return EvaluationSplit(augmented.finish(), labels)

        return replace(data, train=view(0), test=view(1))


SPEC = MeasureSpec(lambda context: Geometry(context.representation, context.encode))


def alignment(view1: np.ndarray, view2: np.ndarray) -> float:
    """Mean squared distance between two views' features, scaled to unit length: in [0, 4].

    Args:
        view1: float32 [N, F], features of one view of each image.
        view2: float32 [N, F], features of another view of the same images.
    """
    total = 0.0
    for first in range(0, len(view1), CHUNK_SIZE):
        chunk = slice(first, first + CHUNK_SIZE)
        differences = _normalise(view1[chunk]) - _normalise(view2[chunk])
        total += float(np.sum(differences**2, dtype=np.float64))
    return total / len(view1)


def uniformity(features: np.ndarray) -> float:
    """Log of the mean of exp(-2 |x - y|²) over pairs of images: in [-8, 0], 0 if all are equal.

    Args:
        features: float32 [N, F], scaled to unit length here.

    Raises:
        RunError: There are no pairs.
    """
    if len(features) < 2:
        raise RunError("uniformity is of pairs of images, and there is one image")
    units = _normalise(features)
    squares = (units**2).sum(axis=1)  # 1, or 0 for a feature of zeros
    n = len(units)
    total = 0.0
    for first in range(0, n, CHUNK_SIZE):
        chunk = units[first : first + CHUNK_SIZE]
        chunk_squares = squares[first : first + CHUNK_SIZE, np.newaxis]
        squared_distances = chunk_squares + squares - 2.0 * (chunk @ units.T)
        index = np.arange(len(chunk))
        squared_distances[index, first + index] = np.inf  # an image is no pair with itself
        total += float(np.exp(-SHARPNESS * squared_distances, dtype=np.float64).sum())
    return float(np.log(total / (n * (n - 1))))


def effective_rank(features: np.ndarray) -> float:
    """The number of directions in which features vary, between 1 and F.

    Args:
        features: float32 [N, F].

    Returns:
        The exponential of the entropy of the singular values, divided by their sum, of the centred
        features.
    """
    mean, variance = moments(features)
    varying = np.isfinite(variance)  # the others vary only by rounding
    if not varying.any():
        return 1.0
    centred = (features[:, varying] - mean[varying]).astype(np.float64)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    return float(np.exp(entr(singular / singular.sum()).sum()))


def _normalise(features):
    """Scales each feature to length 1; features of zeros stay zero."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)
