"""Independent component analysis of whitened data: by infomax, and FastICA.

A whitened image z (`PrincipalComponents.whiten`) is treated as a mixture of independent sources; u
= W·z are the estimated sources.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning

FIRST_RATE, LARGEST_RATE, SMALLEST_RATE = 0.1, 1.0, 1e-9
TOLERANCE = 1e-4  # largest entry of the natural gradient at which the ascent has converged


@dataclass(frozen=True)
class Unmixing:
    """The sources u = W·z + w₀ of rows z.

    Attributes:
        weights: W, float64 [D, D].
        bias: w₀, float64 [D].
        entropy: What infomax maximises, in nats up to a constant; 0 for FastICA.
        iterations: Number of iterations.
        converged: Whether these were enough.
    """

    weights: np.ndarray
    bias: np.ndarray
    entropy: float
    iterations: int
    converged: bool


def entropy(weights: np.ndarray, bias: np.ndarray, z: np.ndarray) -> float:
    """The entropy of y = g(W·z + w₀), g the logistic function, minus that of z, in nats.

    Bell & Sejnowski 1995, section 2.2 (https://doi.org/10.1162/neco.1995.7.6.1129): the entropy of
    a map's output is that of its input plus the mean of the logarithm of the map's determinant,
    |det W| · Π g'(u_i), where g' = y(1 - y).

    Args:
        weights: W, [D, D].
        bias: w₀, [D].
        z: [N, D].
    """
    u = z @ weights.T + bias
    log_slopes = log_expit(u) + log_expit(-u)
    return float(np.linalg.slogdet(weights)[1] + log_slopes.sum(1).mean())


def gradient(weights: np.ndarray, bias: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of `entropy` with respect to W and w₀: W⁻ᵀ + E[(1 - 2y)·zᵀ] and E[1 - 2y].

    Bell & Sejnowski 1995, equations 14 and 15; arguments as for `entropy`.
    """
    slope = 1 - 2 * expit(z @ weights.T + bias)
    return np.linalg.inv(weights).T + slope.T @ z / len(z), slope.mean(0)


def natural_gradient(
    weights: np.ndarray, bias: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(gradient by W)·Wᵀ·W = (I + E[(1 - 2y)·(W·z)ᵀ])·W, which inverts no matrix; and by w₀.

    Amari, Cichocki & Yang 1996 (https://proceedings.neurips.cc/paper/1995/hash/
    e19347e1c3ca0c0b97de5fb3b690855a-Abstract.html); Bell & Sejnowski 1997, section 2
    (https://doi.org/10.1016/S0042-6989(97)00121-1). Arguments as of `entropy`.
    """
    linear = z @ weights.T
    slope = 1 - 2 * expit(linear + bias)
    relative = np.eye(len(weights)) + slope.T @ linear / len(z)
    return relative @ weights, slope.mean(0)


def infomax(z: np.ndarray, iterations: int = 500) -> Unmixing:
    """Maximises the entropy of the outputs by the natural gradient, from W = I, w₀ = 0.

    Every step takes all rows; in the paper it took one or a few. A step that would lower the
    entropy is halved; after one that raised it, the next may be a tenth longer. So the entropy
    never falls, and no learning rate has to be chosen. The logistic function separates sources of
    positive kurtosis.

    Args:
        z: Whitened rows, float64 [N, D].
        iterations: Largest number of iterations.
    """
    weights, bias = np.eye(z.shape[1]), np.zeros(z.shape[1])
    value, rate = entropy(weights, bias, z), FIRST_RATE
    for iteration in range(iterations):
        by_weights, by_bias = natural_gradient(weights, bias, z)
        if max(np.abs(by_weights).max(), np.abs(by_bias).max()) < TOLERANCE:
            return Unmixing(weights, bias, value, iteration, True)
        while rate > SMALLEST_RATE:
            candidate = weights + rate * by_weights, bias + rate * by_bias
            raised = entropy(*candidate, z)
            if raised >= value:
                break
            rate /= 2
        else:  # no step raises it: rounding
            return Unmixing(weights, bias, value, iteration, True)
        (weights, bias), value = candidate, raised
        rate = min(1.1 * rate, LARGEST_RATE)
    return Unmixing(weights, bias, value, iterations, False)


def fastica(z: np.ndarray, iterations: int = 500, seed: int = 0) -> Unmixing:
    """FastICA by scikit-learn: parallel, contrast log cosh (Hyvärinen 1999, table 1).

    https://doi.org/10.1109/72.761722. Sources have variance 1.

    Args:
        z: Whitened rows, float64 [N, D].
        iterations: Largest number of iterations.
        seed: Seed of the first matrix.
    """
    ica = FastICA(whiten=False, max_iter=iterations, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` tells it
        ica.fit(z)
    return Unmixing(
        ica.components_, np.zeros(z.shape[1]), 0.0, ica.n_iter_, ica.n_iter_ < iterations
    )
