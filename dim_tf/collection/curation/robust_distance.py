"""The distance of features from a whole collection, in units of its own variation.

It is the Mahalanobis distance, √((x - μ)ᵀ Σ⁻¹ (x - μ)), where x is the feature at length 1 together
with the logarithm of its length: noise has long features, whatever their direction. Features of
images of another kind often differ little, but in directions in which the collection hardly varies.
Even 1 % of them would widen Σ in exactly these directions, and hide themselves. So μ and Σ are
those of the three quarters of a sample whose Σ has the smallest determinant (Rousseeuw & Van
Driessen 1999, A Fast Algorithm for the Minimum Covariance Determinant Estimator; scikit-learn's
implementation).
"""

import warnings

import numpy as np
import scipy.linalg
import threadpoolctl
from sklearn.covariance import MinCovDet

from dim_tf.collection.unit_rows import unit_rows

SAMPLE = 4000  # images from which μ and Σ are estimated
MAX_DIMENSIONS = 128  # of larger features, the first principal components
_SUPPORT = 0.75  # of the sample
_ROWS_PER_DIMENSION = 5  # at least; fewer do not determine Σ
_CONSTANT = 1e-6  # a component with less variance, relative to the largest, counts as constant
_SHORTEST = 1e-6  # length of a feature
_BLOCK = 2**14


def robust_distances(features: np.ndarray, sampled: np.ndarray, seed: int) -> np.ndarray:
    """The distance of each image from the collection; float64 [N], 8 bytes per image.

    Args:
        features: float32 [N, D]; read in blocks.
        sampled: bool [N], images from which μ and Σ may be estimated.
        seed: Seed of the sample.

    Returns:
        The distances; all 0 if the sample has fewer than 5 images per dimension.
    """
    candidates = np.flatnonzero(sampled)
    chosen = np.sort(
        np.random.default_rng(seed).permutation(candidates)[: min(SAMPLE, len(candidates))]
    )
    distances = np.zeros(len(features))
    if len(chosen) < _ROWS_PER_DIMENSION:
        return distances
    units = _with_length(features[chosen])
    mean = units.mean(axis=0)
    variances, vectors = _principal_components(units - mean)
    used = np.flatnonzero(variances > _CONSTANT * max(variances.max(), 1e-12))
    if len(chosen) < _ROWS_PER_DIMENSION * max(len(used), 1) or not len(used):
        return distances
    scaled = vectors[:, used] / np.sqrt(variances[used])
    with threadpoolctl.threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a determinant that rises by rounding
        estimate = MinCovDet(support_fraction=_SUPPORT, random_state=seed).fit(
            (units - mean) @ scaled
        )
    for start in range(0, len(features), _BLOCK):
        rows = _with_length(features[start : start + _BLOCK]) - mean
        squares = estimate.mahalanobis(rows @ scaled)
        distances[start : start + _BLOCK] = np.sqrt(np.maximum(squares, 0))
    return distances


def _principal_components(centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first `MAX_DIMENSIONS` principal components, or all if there are fewer.

    The covariance Aᵀ A / (n - 1) of n rows A has n - 1 variances, which are also those of the n x n
    matrix A Aᵀ / (n - 1). A direction u of the latter gives a direction v = Aᵀ u of the former,
    scaled to length 1. So the smaller matrix is decomposed: for 300 images with 8,192 numbers, one
    of 300 x 300.

    Args:
        centered: float64 [n, F], rows minus their mean.

    Returns:
        float64 [K], variances, ascending; float64 [F, K], their directions.
    """
    count, size = centered.shape
    is_wide = size > count
    products = (centered @ centered.T if is_wide else centered.T @ centered) / (count - 1)
    last = len(products) - 1
    variances, vectors = scipy.linalg.eigh(
        products, subset_by_index=(max(last + 1 - MAX_DIMENSIONS, 0), last)
    )
    if is_wide:
        vectors = centered.T @ vectors
        vectors /= np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(np.float64).tiny)
    return variances, vectors


def _with_length(features):
    """Features of length 1, and the logarithm of their length; float64 [N, D + 1]."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return np.concatenate([unit_rows(features), np.log(np.maximum(lengths, _SHORTEST))], axis=1)
