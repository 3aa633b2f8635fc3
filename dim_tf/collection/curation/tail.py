"""How likely values beyond the usual are, by a tail that is fitted to the usual ones alone.

Peaks over a threshold (Pickands 1975, https://doi.org/10.1214/aos/1176343003): above a high
quantile u, the excess of nearly any distribution is close to a generalised Pareto distribution,

    P(x - u > y | x > u) = (1 + ξ y / σ)^(-1/ξ).

What is looked for lies in the same tail. So the largest values enter the likelihood only as being
larger than a second quantile (censored): how far they lie does not matter. ξ is not negative: a
tail that ends would make everything beyond its end impossible, on the word of few values. So of
distributions with light tails, as the normal, probabilities come out too large rather than small.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize

START = 0.8  # the quantile u
CENSORED = 0.98  # the quantile above which values count, but not by how much
MIN_VALUES = 200  # below, the tail has fewer than 40 values
_SHAPES = (0.0, 0.5)  # of ξ; above, the variance is infinite


@dataclass(frozen=True)
class Tail:
    """The upper tail of a distribution.

    Attributes:
        start: u, where it begins.
        fraction: of the values, above u.
        scale: σ.
        shape: ξ.
    """

    start: float
    fraction: float
    scale: float
    shape: float

    def survival(self, values: np.ndarray) -> np.ndarray:
        """The probability of a value at least so large; 1 for values up to u, float64 [N]."""
        excess = np.maximum(np.asarray(values, np.float64) - self.start, 0) / self.scale
        probabilities = self.fraction * np.exp(_log_survival(excess, self.shape))
        return np.where(excess > 0, probabilities, 1.0)

    def value_of(self, probability: float) -> float:
        """The value that is reached with a probability, at most `fraction`."""
        log_ratio = np.log(self.fraction / min(probability, self.fraction))
        excess = log_ratio
        if self.shape >= 1e-6:
            excess = np.expm1(self.shape * log_ratio) / self.shape
        return float(self.start + self.scale * excess)


def fit_tail(values: np.ndarray) -> Tail | None:
    """Fits the upper tail by censored maximum likelihood.

    Args:
        values: float [N].

    Returns:
        None for fewer than `MIN_VALUES`, or where no values differ in the tail.
    """
    if len(values) < MIN_VALUES:
        return None
    start, end = np.quantile(values, [START, CENSORED])
    excess = np.asarray(values, np.float64)[values > start] - start
    seen = excess[excess <= end - start]
    if len(seen) < 2 or end <= start:
        return None
    unit = seen.mean()
    seen, limit, censored = seen / unit, (end - start) / unit, len(excess) - len(seen)

    def loss(parameters):
        scale, shape = np.exp(parameters[0]), np.clip(parameters[1], *_SHAPES)
        density = (1 + shape) * _log_survival(seen / scale, shape) - np.log(scale)
        beyond = censored * _log_survival(limit / scale, shape)
        return -(density.sum() + (beyond if censored else 0))

    solution = scipy.optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead")
    scale, shape = np.exp(solution.x[0]) * unit, np.clip(solution.x[1], *_SHAPES)
    return Tail(float(start), len(excess) / len(values), float(scale), float(shape))


def _log_survival(excess, shape):
    """log (1 + ξ y)^(-1/ξ)."""
    return -excess if shape < 1e-6 else -np.log1p(shape * excess) / shape


def benjamini_hochberg(p_values: np.ndarray, rate: float) -> float:
    """The largest p-value that is rejected at a false discovery rate; 0 where none is.

    Benjamini & Hochberg 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x.

    Args:
        p_values: float [N].
        rate: the expected fraction of false ones among the rejected, at most.
    """
    ordered = np.sort(p_values)
    below = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / len(ordered))
    return float(ordered[below[-1]]) if len(below) else 0.0
