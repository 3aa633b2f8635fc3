"""K-means features of patches (Coates, Lee & Ng 2011, http://proceedings.mlr.press/v15/coates11a)."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from keras_models.classical.encoders import PATCH_VARIANCE

WHITENING_VARIANCE = 0.1  # ε, added to the variances of normalized patches


@dataclass(frozen=True)
class PatchCentroids:
    """The whitening of normalized patches, and the centroids of whitened patches.

    Attributes:
        mean: Mean of the normalized patches, float64 [P].
        whitening: float64 [P, P], symmetric.
        centroids: [K, P].
        inertia: Mean squared distance of a whitened patch from its centroid.
        iterations: Iterations of k-means.
    """

    mean: np.ndarray
    whitening: np.ndarray
    centroids: np.ndarray
    inertia: float
    iterations: int


def random_patches(images: np.ndarray, count: int, size: int, seed: int) -> np.ndarray:
    """Patches at random places of random images: float32 [count, size·size·C] in 0..255.

    Args:
        images: float32 [N, H, W, C] in [-1, 1].
        count: Number of patches.
        size: Their side in pixels.
        seed: Determines which.
    """
    rng = np.random.default_rng(seed)
    _, height, width, channels = images.shape
    which = rng.integers(len(images), size=count)
    top = rng.integers(height - size + 1, size=count)
    left = rng.integers(width - size + 1, size=count)
    side = np.arange(size)
    rows, columns = top[:, None, None] + side[:, None], left[:, None, None] + side
    patches = images[which[:, None, None], rows, columns]
    return (patches.reshape(count, size * size * channels) + 1) * 127.5


def normalized(patches: np.ndarray) -> np.ndarray:
    """Rows of pixels minus their mean, divided by √(variance + 10): brightness and contrast."""
    centered = patches - patches.mean(1, keepdims=True)
    return centered / np.sqrt(patches.var(1, ddof=1, keepdims=True) + PATCH_VARIANCE)


def zca(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [P] and symmetric whitening V·(λ + ε)^(-1/2)·Vᵀ [P, P] of rows [N, P]."""
    mean = x.mean(0, dtype=np.float64)
    variances, axes = np.linalg.eigh(np.cov(x, rowvar=False))
    return mean, (axes / np.sqrt(np.maximum(variances, 0) + WHITENING_VARIANCE)) @ axes.T


def fit(patches: np.ndarray, centroids: int, seed: int = 0, iterations: int = 50) -> PatchCentroids:
    """K-means of whitened patches, by scikit-learn (k-means++, one start).

    Args:
        patches: In 0..255, float32 [N, P].
        centroids: K.
        seed: Seed of the first centroids.
        iterations: Largest number of iterations.

    Raises:
        ValueError: There are fewer patches than centroids.
    """
    if len(patches) < centroids:
        raise ValueError(f"{len(patches):,} patches are fewer than {centroids:,} centroids")
    x = normalized(patches)
    mean, whitening = zca(x)
    white = ((x - mean) @ whitening).astype(np.float32)
    kmeans = KMeans(centroids, n_init=1, max_iter=iterations, random_state=seed).fit(white)
    return PatchCentroids(
        mean, whitening, kmeans.cluster_centers_, kmeans.inertia_ / len(white), kmeans.n_iter_
    )
