"""Features in the plane, as pictures: PCA and t-SNE (van der Maaten & Hinton 2008)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from sklearn.manifold import TSNE, trustworthiness

from dim_tf.data import image_ops
from dim_tf.evaluation import pictures
from dim_tf.evaluation.measure import Kind, Result
from dim_tf.evaluation.representation import Representation

ENDPOINT = "global"
IMAGES = 2000
THUMBNAIL = 32  # pixels a side, at most
PERPLEXITY = 30
NEIGHBOURS = 10
TITLES = {"pca": "PCA", "tsne": "t-SNE"}


@dataclass(frozen=True)
class PlaneProjections:
    """The global feature of some test images in two dimensions.

    The figures say how far a picture can be trusted, not how good the representation is:
    trustworthiness (Venna & Kaski 2001), which falls with every near point in the plane that is a
    far one in truth. Only "global" is measured.

    Attributes:
        representation: whose first test images are shown.
        images: how many, at most.
        seed: of t-SNE.
    """

    representation: Representation
    images: int = IMAGES
    seed: int = 0
    _points: dict[str, np.ndarray] = field(default_factory=dict, init=False, compare=False)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            f"{name}_trustworthiness": Kind("share", None, f"trustworthiness of {title}'s picture")
            for name, title in TITLES.items()
        }

    @property
    def protocol(self) -> dict[str, str]:
        told = (
            f"of the plane's {self._neighbours()} nearest neighbours, 1: all are near in truth; "
            f"global feature of the first {self._shown():,} test images"
        )
        return {
            "pca_trustworthiness": f"two principal components, {told}",
            "tsne_trustworthiness": (
                f"t-SNE, perplexity {self._perplexity():g}, from the principal components, {told}"
            ),
        }

    def run(self) -> Iterator[Result]:
        features = self.representation.test[ENDPOINT][: self.images]
        self._points["pca"] = principal_components(features)
        self._points["tsne"] = neighbour_embedding(
            features, self._points["pca"], self._perplexity(), self.seed
        )
        for name, points in self._points.items():
            trusted = trustworthiness(features, points, n_neighbors=self._neighbours())
            yield Result(f"{name}_trustworthiness", ENDPOINT, float(trusted))

    def pictures(self) -> list[pictures.Projection]:
        splits = self.representation.splits
        return [
            pictures.Projection(
                f"{ENDPOINT} feature, {TITLES[name]}",
                points,
                splits.test.labels[: self.images] if splits.has_classes else None,
                splits.label_names if splits.has_classes else (),
                thumbnails(splits.test.images[: self.images]),
            )
            for name, points in self._points.items()
        ]

    def _shown(self):
        return min(self.images, len(self.representation.splits.test))

    def _perplexity(self):
        return min(PERPLEXITY, (self._shown() - 1) / 3)

    def _neighbours(self):
        return min(NEIGHBOURS, (self._shown() - 1) // 2)


def principal_components(features: np.ndarray) -> np.ndarray:
    """The two directions in which features vary most.

    Args:
        features: float32 [N, F].

    Returns:
        float32 [N, 2], of mean 0; the second column is 0 for F = 1.
    """
    centred = features - features.mean(axis=0, dtype=np.float64)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    # The sign of a singular vector is arbitrary: its largest weight is made positive.
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
        start: [N, 2], where the points begin; scaled to what the method begins with.
        perplexity: less than N.
        seed: of the search.

    Returns:
        float32 [N, 2].
    """
    width = start[:, 0].std()
    scaled = (start / (width if width > 0 else 1.0) * 1e-4).astype(np.float32)
    return TSNE(init=scaled, perplexity=perplexity, random_state=seed).fit_transform(features)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images uint8 [N, H, W, C], those of more than 32 pixels a side shrunk to that."""
    height, width = images.shape[1:3]
    longest = max(height, width)
    if longest <= THUMBNAIL:
        return images
    size = [max(height * THUMBNAIL // longest, 1), max(width * THUMBNAIL // longest, 1)]
    small: np.ndarray = image_ops.to_uint8(tf.image.resize(images, size, antialias=True)).numpy()
    return small
