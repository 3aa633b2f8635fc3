"""Features in two dimensions, as figures: PCA and t-SNE (van der Maaten & Hinton 2008)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from sklearn.manifold import TSNE, trustworthiness

from dim_tf.data import image_ops
from dim_tf.evaluation.figures import Projection
from dim_tf.evaluation.measure import MetricInfo, Result
from dim_tf.evaluation.measure_spec import MeasureSpec
from dim_tf.evaluation.representation import Representation

ENDPOINT = "global"
MAX_IMAGES = 2000
THUMBNAIL = 32  # pixels a side, at most
PERPLEXITY = 30
NEIGHBOURS = 10
TITLES = {"pca": "PCA", "tsne": "t-SNE"}


@dataclass(frozen=True)
class PlaneProjections:
    """The global feature of some test images in two dimensions.

    The values say how far a figure can be trusted, not how good the representation is:
    trustworthiness (Venna & Kaski 2001) falls with every point that is near in the plane but far
    away in the feature space. Only "global" is measured.

    Attributes:
        representation: Its first test images are shown.
        max_images: How many of them are shown.
        seed: Seed of t-SNE.
    """

    representation: Representation
    max_images: int = MAX_IMAGES
    seed: int = 0
    _points: dict[str, np.ndarray] = field(default_factory=dict, init=False, compare=False)

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {
            f"{name}_trustworthiness": MetricInfo("fraction", None, f"trustworthiness of {title}")
            for name, title in TITLES.items()
        }

    @property
    def protocol(self) -> dict[str, str]:
        metric = (
            f"of the plane's {self._num_neighbours()} nearest neighbours, 1: all are near in the "
            f"feature space; global feature of the first {self._num_images():,} test images"
        )
        return {
            "pca_trustworthiness": f"two principal components, {metric}",
            "tsne_trustworthiness": (
                f"t-SNE, perplexity {self._perplexity():g}, from the principal components, {metric}"
            ),
        }

    def run(self) -> Iterator[Result]:
        features = self.representation.test[ENDPOINT][: self.max_images]
        self._points["pca"] = principal_components(features)
        self._points["tsne"] = neighbour_embedding(
            features, self._points["pca"], self._perplexity(), self.seed
        )
        for name, points in self._points.items():
            value = trustworthiness(features, points, n_neighbors=self._num_neighbours())
            yield Result(f"{name}_trustworthiness", ENDPOINT, float(value))

    def figures(self) -> list[Projection]:
        data = self.representation.data
        return [
            Projection(
                f"{ENDPOINT} feature, {TITLES[name]}",
                points,
                data.test.labels[: self.max_images] if data.has_classes else None,
                data.label_names if data.has_classes else (),
                thumbnails(data.test.images[: self.max_images]),
            )
            for name, points in self._points.items()
        ]

    def _num_images(self):
        return min(self.max_images, len(self.representation.data.test))

    def _perplexity(self):
        return min(PERPLEXITY, (self._num_images() - 1) / 3)

    def _num_neighbours(self):
        return min(NEIGHBOURS, (self._num_images() - 1) // 2)


SPEC = MeasureSpec(lambda context: PlaneProjections(context.representation))


def principal_components(features: np.ndarray) -> np.ndarray:
    """The first two principal components.

    Args:
        features: float32 [N, F].

    Returns:
        float32 [N, 2], with mean 0; the second column is 0 if F = 1.
    """
    centred = features - features.mean(axis=0, dtype=np.float64)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a singular vector is arbitrary; it is chosen so that the largest weight is
    # positive.
    largest = np.abs(right[:2]).argmax(axis=1)
    signs = np.sign(np.take_along_axis(right[:2], largest[:, np.newaxis], axis=1))[:, 0]
    points = np.zeros((len(features), 2), np.float32)
    points[:, : len(signs)] = left[:, :2] * singular[:2] * signs
    return points


def neighbour_embedding(
    features: np.ndarray, start: np.ndarray, perplexity: float, seed: int
) -> np.ndarray:
    """t-SNE.

    Args:
        features: float32 [N, F].
        start: [N, 2], the initial points; they are scaled to the size with which the method starts.
        perplexity: Less than N.
        seed: Seed of the optimisation.

    Returns:
        float32 [N, 2].
    """
    width = start[:, 0].std()
    scaled = (start / (width if width > 0 else 1.0) * 1e-4).astype(np.float32)
    return TSNE(init=scaled, perplexity=perplexity, random_state=seed).fit_transform(features)


def thumbnails(images: np.ndarray, limit: int = THUMBNAIL) -> np.ndarray:
    """Images as they are shown, uint8 [N, h, w, 1 or 3], of at most `limit` pixels a side."""
    images = image_ops.to_shown(images)
    height, width = images.shape[1:3]
    longest = max(height, width)
    if longest <= limit:
        return images
    size = [max(height * limit // longest, 1), max(width * limit // longest, 1)]
    small: np.ndarray = image_ops.to_uint8(tf.image.resize(images, size, antialias=True)).numpy()
    return small
