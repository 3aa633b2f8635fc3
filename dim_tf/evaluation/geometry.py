"""The shape of a representation: alignment, uniformity, effective rank. None needs a label."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from scipy.special import entr

from dim_tf.data import pipeline
from dim_tf.evaluation.excerpt import Excerpt, Part
from dim_tf.evaluation.measure import Kind, Result
from dim_tf.evaluation.probes import moments
from dim_tf.evaluation.representation import Representation
from keras_models.distribute.randomness import derive_seed

IMAGES = 5000  # test images measured
AUGMENTATION = "crop_flip"
SHARPNESS = 2.0  # t of the uniformity
ROWS = 500


@dataclass(frozen=True)
class Geometry:
    """Alignment and uniformity (Wang & Isola 2020) and effective rank (Roy & Vetterli 2007).

    None ranks representations by itself: a constant is perfectly aligned, noise perfectly uniform
    and of full rank.

    Attributes:
        representation: whose test images are measured.
        encode: images as excerpts -> their representation, by the same encoder; None: alignment,
            which needs features of augmented images, is left out.
        seed: of the augmentations.
    """

    representation: Representation
    encode: Callable[[Excerpt], Representation] | None
    seed: int = 0

    @property
    def kinds(self) -> dict[str, Kind]:
        kinds = {
            "uniformity": Kind("", None, "uniformity (lower: more spread)"),
            "effective_rank": Kind("", None, "effective rank"),
        }
        if self.encode is not None:
            kinds["alignment"] = Kind("", None, "alignment of two views (lower: closer)")
        return kinds

    @property
    def protocol(self) -> dict[str, str]:
        images = f"the first {min(IMAGES, len(self.representation.splits.test)):,} test images"
        told = {
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
            told["alignment"] = (
                "mean squared distance of the features, of unit length, of two random views "
                f"({AUGMENTATION}) of an image, of {images}; 0: the same, 2: unrelated"
            )
        return told

    def run(self) -> Iterator[Result]:
        for endpoint, features in self.representation.test.items():
            yield Result("uniformity", endpoint, uniformity(features[:IMAGES]))
            yield Result("effective_rank", endpoint, effective_rank(features[:IMAGES]))
        if self.encode is not None:
            views = self.encode(self._two_views())
            for endpoint, features in views.train.items():
                yield Result("alignment", endpoint, alignment(features, views.test[endpoint]))

    def _two_views(self) -> Excerpt:
        """The test images augmented, as training images, and once more, as test images."""
        splits = self.representation.splits
        test = Part(splits.test.images[:IMAGES], splits.test.labels[:IMAGES])

        def view(number):
            seed = derive_seed(self.seed, f"view {number}")
            images = [
                pipeline.apply_augmentation(
                    tf.constant(test.images[i : i + ROWS]),
                    AUGMENTATION,
                    tf.constant([seed, i], tf.int64),
                ).numpy()
                for i in range(0, len(test), ROWS)
            ]
            return Part(np.concatenate(images), test.labels)

        return replace(splits, train=view(0), test=view(1))


def alignment(features: np.ndarray, others: np.ndarray) -> float:
    """Mean squared distance of pairs, scaled to unit length: in [0, 4].

    Args:
        features: float32 [N, F].
        others: float32 [N, F], row by row of another view of the same image.
    """
    return float(np.mean(np.sum((_unit(features) - _unit(others)) ** 2, axis=1)))


def uniformity(features: np.ndarray) -> float:
    """Log of the mean of exp(-2 |x - y|²) over pairs of different rows: in [-8, 0], 0: all equal.

    Args:
        features: float32 [N, F], here scaled to unit length; N at least 2.
    """
    units = _unit(features)
    squares = (units**2).sum(axis=1)  # 1, and 0 of a row of zeros
    n = len(units)
    total = 0.0
    for i in range(0, n, ROWS):
        rows = units[i : i + ROWS]
        distances = squares[i : i + ROWS, np.newaxis] + squares - 2.0 * (rows @ units.T)  # squared
        own = np.arange(len(rows))
        distances[own, i + own] = np.inf  # a row is no pair with itself
        total += float(np.exp(-SHARPNESS * distances, dtype=np.float64).sum())
    return float(np.log(total / (n * (n - 1))))


def effective_rank(features: np.ndarray) -> float:
    """In how many directions features vary, between 1 and their number.

    Args:
        features: float32 [N, F].

    Returns:
        The exponential of the entropy of the singular values over their sum, of the features less
        their mean.
    """
    mean, variance = moments(features)
    varying = np.isfinite(variance)  # the others vary by rounding alone
    if not varying.any():
        return 1.0
    centred = (features[:, varying] - mean[varying]).astype(np.float64)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    return float(np.exp(entr(singular / singular.sum()).sum()))


def _unit(features):
    """Rows scaled to length 1; a row of zeros stays one."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)
