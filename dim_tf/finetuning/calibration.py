"""Calibration of probabilities: the temperature of logits, and the calibration error.

Guo et al. 2017, https://arxiv.org/abs/1706.04599. A temperature T divides the logits of all labels
alike, so no image changes its class.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.special

LIMITS = (0.05, 20.0)  # of T; a fit that ends at a limit had too few validation images
BINS = 15  # as in Guo et al.


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature.

    Attributes:
        value: T.
        loss_before: Mean negative log-likelihood of the images at T = 1.
        loss: The same at T.
        images: Number of images that it was fitted on.
        at_limit: Whether the loss would fall further outside `LIMITS`.
    """

    value: float
    loss_before: float
    loss: float
    images: int
    at_limit: bool


def negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, beta: float = 1.0, weights: np.ndarray | None = None
) -> float:
    """The mean over images, and for attributes over these too, in nats.

    Args:
        logits: float [N, C].
        labels: int [N], classes; or int [N, C], attributes 0 or 1.
        beta: Factor of the logits.
        weights: Weights of the images, or of each attribute of each image, as from
            `class_weights.of_images`; None: equal.
    """
    scaled = beta * logits.astype(np.float64)
    if labels.ndim == 2:
        losses = np.logaddexp(0.0, scaled) - labels * scaled
        return float(np.average(losses, weights=weights))
    of_labels = np.take_along_axis(scaled, labels[:, np.newaxis], axis=1)[:, 0]
    losses = scipy.special.logsumexp(scaled, axis=1) - of_labels
    return float(np.average(losses, weights=weights))


def _slope(logits, labels, beta):
    """The derivative of the loss with respect to beta."""
    if labels.ndim == 2:
        return float(np.mean(logits * (scipy.special.expit(beta * logits) - labels)))
    expected = np.sum(scipy.special.softmax(beta * logits, axis=1) * logits, axis=1)
    of_labels = np.take_along_axis(logits, labels[:, np.newaxis], axis=1)[:, 0]
    return float(np.mean(expected - of_labels))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature with the smallest negative log-likelihood, in float64.

    The loss is convex in 1/T: it is a log-sum-exp of linear functions minus a linear one. So its
    derivative rises, and its only zero can be bracketed (Brent's method, SciPy's brentq).

    Args:
        logits: float [N, C], of images that the classifier was not trained on.
        labels: int [N], classes; or int [N, C], attributes 0 or 1.
    """
    logits = logits.astype(np.float64)
    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    is_low, is_high = _slope(logits, labels, low) >= 0, _slope(logits, labels, high) <= 0
    if is_low or is_high:
        beta = low if is_low else high
    else:
        beta = scipy.optimize.brentq(lambda x: _slope(logits, labels, x), low, high, xtol=1e-12)
    return Temperature(
        1 / beta,
        negative_log_likelihood(logits, labels),
        negative_log_likelihood(logits, labels, beta),
        len(logits),
        is_low or is_high,
    )


@dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence.

    Attributes:
        low: Lower bound of the predictions' confidence, exclusive.
        high: Upper bound of the predictions' confidence, inclusive.
        count: Number of predictions.
        confidence: Their mean confidence; 0 if there are none.
        accuracy: The fraction that is correct; 0 if there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class CalibrationError:
    """How far confidence and accuracy differ.

    Attributes:
        error: Expected calibration error: Σ count |confidence - accuracy| / Σ count.
        bins: Bins of equal width, from 0 to 1.
    """

    error: float
    bins: tuple[Bin, ...]


def calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS
) -> CalibrationError:
    """The expected calibration error (Naeini et al. 2015; Guo et al. 2017, eq. 3).

    A prediction is the likeliest class of an image, and its confidence is the probability of that
    class. Each attribute is predicted as present or absent, with a confidence of at least 1/2.

    Args:
        probabilities: float [N, C].
        labels: int [N], classes; or int [N, C], attributes 0 or 1.
        bins: Number of bins.
    """
    if labels.ndim == 2:
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        correct = ((probabilities > 0.5) == (labels == 1)).ravel()
    else:
        confidence = probabilities.max(axis=1)
        correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins)
    divisor = np.maximum(counts, 1)
    confidences = np.bincount(number, confidence, bins) / divisor
    accuracies = np.bincount(number, correct, bins) / divisor
    error = float(np.sum(counts * np.abs(confidences - accuracies)) / max(len(confidence), 1))
    rows = zip(edges[:-1], edges[1:], counts, confidences, accuracies, strict=True)
    return CalibrationError(
        error,
        tuple(Bin(float(a), float(b), int(n), float(c), float(d)) for a, b, n, c, d in rows),
    )
