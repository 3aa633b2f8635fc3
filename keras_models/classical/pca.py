"""Principal component analysis (Hotelling 1933, https://doi.org/10.1037/h0071325)."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

EXACT_FEATURES = 4096  # numbers of an image up to which the covariance is diagonalised


@dataclass(frozen=True)
class PrincipalComponents:
    """The directions of largest variance.

    Attributes:
        mean: float64 [F].
        axes: float64 [F, D], orthonormal columns, in order of falling variance.
        variances: float64 [D], variances of the projections.
        explained: Fraction of the total variance that they explain together.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    explained: float

    @property
    def whitening(self) -> np.ndarray:
        """[F, D], the map to projections of variance 1."""
        return self.axes / np.sqrt(self.variances)

    def whiten(self, x: np.ndarray) -> np.ndarray:
        """The projections of rows, each with variance 1: float64 [N, D]."""
        matrix = self.whitening
        return (x @ matrix.astype(x.dtype)).astype(np.float64) - self.mean @ matrix


def fit(x: np.ndarray, components: int, seed: int = 0) -> PrincipalComponents:
    """The principal components of rows, by scikit-learn.

    The covariance is diagonalised exactly if rows have at most 4,096 numbers. For longer rows, the
    randomized method is used (Halko et al. 2011, https://arxiv.org/abs/0909.4061), with seven power
    iterations.

    Args:
        x: float [N, F].
        components: D.
        seed: Seed of the randomized method.

    Raises:
        ValueError: There are not that many components with variance above 0.
    """
    check_count(x, components)
    # Centred before: scikit-learn subtracts N · mean · meanᵀ from the product, which float32 loses.
    mean = x.mean(0, dtype=np.float64)
    centered = x - mean.astype(x.dtype)
    exact = x.shape[1] <= EXACT_FEATURES
    pca = PCA(
        components,
        svd_solver="covariance_eigh" if exact else "randomized",
        iterated_power=7,
        random_state=seed,
    ).fit(centered)
    variances = pca.explained_variance_.astype(np.float64)
    if not variances[-1] > 1e-7 * variances[0]:
        possible = int((variances > 1e-7 * variances[0]).sum())
        raise ValueError(
            f"the images vary in {possible} directions, and {components} components are asked for; "
            "give a smaller --latent_dim"
        )
    return PrincipalComponents(
        mean + pca.mean_,
        pca.components_.T.astype(np.float64),
        variances,
        float(pca.explained_variance_ratio_.sum()),
    )


def check_count(x: np.ndarray, components: int) -> None:
    """Raises ValueError if rows [N, F] have fewer components: at most N - 1, and F."""
    most = min(len(x) - 1, x.shape[1])
    if components > most:
        raise ValueError(
            f"{len(x):,} images of {x.shape[1]:,} numbers have at most {most:,} components, and "
            f"{components:,} are asked for; give a smaller --latent_dim, or more images"
        )
