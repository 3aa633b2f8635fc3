"""How likely values beyond the usual are, by a tail that is fitted only to the usual values.

Peaks over a threshold (Pickands 1975, https://doi.org/10.1214/aos/1176343003): above a high
quantile u, the excess y = x - u of heavy tails is close to a generalised Pareto distribution:

    P(x | x > u) = (1 + ξ y / σ)^(-1/ξ),   which is exp(-y / σ) at ξ = 0.

Tails lighter than the exponential have a negative ξ there, and therefore an end, beyond which every
value would be impossible, on the evidence of few values. Such tails are modelled as Weibull tails
instead, which have no end, from the median m, with a power 1 ≤ τ ≤ 2 (2 for the normal
distribution), h = u - m:

    P(x | x > u) = exp(-(h / (σ τ)) (((x - m) / h)^τ - 1)),   the same exp(-y / σ) at τ = 1.

The anomalies that are sought lie in the same tail. So the largest values enter the likelihood only
as being larger than a second quantile (censored): how far they lie does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.optimize

START = 0.8  # the quantile u
CENSORED = 0.98  # the quantile above which values count, but not by how much
MIN_VALUES = 200  # with fewer, the tail has fewer than 40 values
_SHAPES = (0.0, 0.5)  # of ξ; above this the variance is infinite
_POWERS = (1.0, 2.0)  # of τ
_EXPONENTIAL = 1e-3  # a smaller ξ counts as 0


@dataclass(frozen=True)
class Tail:
    """The upper tail of a distribution.

    Attributes:
        start: u, where the tail starts.
        fraction: Fraction of the values above u.
        height: h, from the median to u.
        scale: σ.
        shape: ξ; 0 if the power is above 1.
        power: τ; 1 if ξ is above 0.
    """

    start: float
    fraction: float
    height: float
    scale: float
    shape: float
    power: float

    def survival(self, values: np.ndarray) -> np.ndarray:
        """The probability of a value at least this large; 1 for values up to u, float64 [N]."""
        excess = np.maximum(np.asarray(values, np.float64) - self.start, 0)
        log_survival = _log_weibull(excess, self.scale, self.power, self.height)
        if self.shape:
            log_survival = _log_pareto(excess, self.scale, self.shape)
        return np.where(excess > 0, self.fraction * np.exp(log_survival), 1.0)

    def value_of(self, probability: float) -> float:
        """The value that is reached with this probability, which is at most `fraction`."""
        log_ratio = np.log(self.fraction / min(probability, self.fraction))
        if self.shape:
            excess = self.scale * np.expm1(self.shape * log_ratio) / self.shape
        else:
            growth = 1 + self.power * self.scale / self.height * log_ratio
            excess = self.height * (growth ** (1 / self.power) - 1)
        return float(self.start + excess)


def fit_tail(values: np.ndarray) -> Tail | None:
    """Fits the upper tail by censored maximum likelihood.

    Args:
        values: float [N].

    Returns:
        The tail; None for fewer than `MIN_VALUES` values, or if all values in the tail are equal.
    """
    if len(values) < MIN_VALUES:
        return None
    median, start, end = np.quantile(values, [0.5, START, CENSORED])
    excess = np.asarray(values, np.float64)[values > start] - start
    seen = excess[excess <= end - start]
    if len(seen) < 2 or not median < start < end:
        return None
    unit = seen.mean()
    height = float(start - median)
    data = seen / unit, (end - start) / unit, len(excess) - len(seen)
    scale, shape = _maximise(data, _log_pareto, _log_pareto_density, _SHAPES)
    power = 1.0
    if shape < _EXPONENTIAL:
        shape = 0.0
        scale, power = _maximise(
            data,
            lambda y, scale, power: _log_weibull(y, scale, power, height / unit),
            lambda y, scale, power: _log_weibull_density(y, scale, power, height / unit),
            _POWERS,
        )
    fraction = len(excess) / len(values)
    return Tail(float(start), fraction, height, scale * float(unit), shape, power)


def _maximise(data, log_survival: Callable, log_density: Callable, bounds) -> tuple[float, float]:
    """Scale and second parameter with the largest likelihood; the second stays in its bounds."""
    seen, limit, censored = data

    def loss(parameters):
        scale, second = np.exp(parameters[0]), parameters[1]
        beyond = log_survival(np.array([limit]), scale, second)[0]
        return -(log_density(seen, scale, second).sum() + censored * beyond) / len(seen)

    solution = scipy.optimize.minimize(
        loss, [0.0, np.mean(bounds)], method="L-BFGS-B", bounds=[(-5, 5), bounds]
    )
    return float(np.exp(solution.x[0])), float(solution.x[1])


def _log_pareto(excess, scale, shape):
    if shape < _EXPONENTIAL:
        return -excess / scale
    return -np.log1p(shape * excess / scale) / shape


def _log_pareto_density(excess, scale, shape):
    return (1 + shape) * _log_pareto(excess, scale, shape) - np.log(scale)


def _log_weibull(excess, scale, power, height):
    return -height / (scale * power) * ((1 + excess / height) ** power - 1)


def _log_weibull_density(excess, scale, power, height):
    slope = (power - 1) * np.log1p(excess / height) - np.log(scale)
    return _log_weibull(excess, scale, power, height) + slope


def benjamini_hochberg(p_values: np.ndarray, rate: float) -> float:
    """The largest p-value that is rejected at a false discovery rate; 0 if none is.

    Benjamini & Hochberg 1995, https://doi.org/10.1111/j.2517-6161.1995.tb02031.x.

    Args:
        p_values: float [N].
        rate: Largest expected fraction of false ones among the rejected.
    """
    ordered = np.sort(p_values)
    below = np.flatnonzero(ordered <= rate * np.arange(1, len(ordered) + 1) / len(ordered))
    return float(ordered[below[-1]]) if len(below) else 0.0
