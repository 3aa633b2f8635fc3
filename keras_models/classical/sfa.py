"""Slow feature analysis (Wiskott & Sejnowski 2002, https://doi.org/10.1162/089976602317318938).

The time series are images that are shifted by one pixel; the features are what changes least.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SHIFTS = ((0, 1), (1, 0))  # of rows and columns, in pixels
_ROWS = 4096  # that are expanded at a time


@dataclass(frozen=True)
class SlowFeatures:
    """The linear map of expanded rows to the slowest features, each with variance 1.

    Attributes:
        mean: Mean of the expanded rows, float64 [M].
        matrix: float64 [M, D], in order of rising slowness values.
        slowness: Δ of each feature, the mean square of its change: float64 [D].
    """

    mean: np.ndarray
    matrix: np.ndarray
    slowness: np.ndarray


def shifted(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images [N, H, W, C], shifted down and right by some pixels; edges are reflected."""
    padded = np.pad(images, ((0, 0), (rows, 0), (columns, 0), (0, 0)), mode="reflect")
    return padded[:, : images.shape[1], : images.shape[2]]


def expand(x: np.ndarray) -> np.ndarray:
    """All monomials of degree 1 and 2, as in `encoders.Monomials`: [N, R] -> [N, R(R + 3)/2]."""
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, first] * x[:, second]], axis=1)


def fit(before: np.ndarray, after: np.ndarray, features: int) -> SlowFeatures:
    """The slowest features of the expanded inputs.

    Wiskott & Sejnowski 2002, section 3: among functions in the span of the monomials with mean 0,
    variance 1 and no correlation, those with the smallest Δ = E[(change)²]. The expanded inputs are
    sphered. In the sphered space the slowest directions are the eigenvectors with the smallest
    eigenvalues of the changes' covariance; these eigenvalues are Δ. That solves the generalised
    eigenproblem E[changes·changesᵀ]·w = Δ·(covariance)·w.

    Args:
        before: Inputs, float [N, R].
        after: The same inputs a moment later; [N, R], or [T, N, R] for several changes.
        features: D.

    Raises:
        ValueError: There are not that many.
    """
    afters = after[np.newaxis] if after.ndim == 2 else after
    mean, covariance = _moments(before)
    variances, axes = np.linalg.eigh(covariance)
    kept = variances > 1e-9 * variances[-1]  # others are constant, or combinations
    if kept.sum() < features:
        raise ValueError(
            f"the expanded images vary in {kept.sum():,} directions, and {features:,} features are "
            "asked for; give a smaller --latent_dim, or more images"
        )
    sphering = axes[:, kept] / np.sqrt(variances[kept])
    changes = np.zeros((kept.sum(), kept.sum()))
    for rows in _blocks(len(before)):
        expanded = expand(before[rows].astype(np.float64))
        for moment in afters:
            change = (expand(moment[rows].astype(np.float64)) - expanded) @ sphering
            changes += change.T @ change
    slowness, rotation = np.linalg.eigh(changes / (len(before) * len(afters)))
    return SlowFeatures(mean, sphering @ rotation[:, :features], slowness[:features])


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the expanded rows."""
    mean = np.zeros(x.shape[1] * (x.shape[1] + 3) // 2)
    for rows in _blocks(len(x)):
        mean += expand(x[rows].astype(np.float64)).sum(0) / len(x)
    covariance = np.zeros((len(mean), len(mean)))
    for rows in _blocks(len(x)):
        centered = expand(x[rows].astype(np.float64)) - mean
        covariance += centered.T @ centered
    return mean, covariance / len(x)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(first, first + _ROWS) for first in range(0, count, _ROWS))
