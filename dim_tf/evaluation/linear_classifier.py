"""Linear classifiers at the minimum of a convex loss: logistic regression, support vector machines.

    minimise  C Σ loss(image) + ½ |weights|²

over standardised features divided by the root of their number, so that an image's norm is about 1
for any size of feature. Such a problem has one solution, whatever the solver: L-BFGS (Liu & Nocedal
1989; SciPy's), with the loss and its gradient by products of chunks of the features, of which no
copy is made. The standardisation is folded into the weights:

    (x - mean) / (std √F) · w + b  =  x · v + (b - mean · v),  v = w / (std √F)

Features are correlated, which makes the solver slow: it takes hundreds of steps along the narrow
valleys of the loss. It works on z instead of w, with w = L⁻ᵀ z and L Lᵀ = h S + I / (C K), the
Hessian of a loss of constant curvature h, where S is the covariance of those features.
In z that Hessian is the identity. The solution is the same; benchmarks/linear_classifier.py has the
seconds with and without it (docs/EVALUATION.md).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import threadpoolctl

from dim_tf.evaluation.standardisation import moments
from dim_tf.system.errors import RunError

CHUNK_BYTES = 2**22  # of the features in one product: what caches hold
TOLERANCE = 1e-7  # relative decrease of the loss that ends the iterations
MAX_ITERATIONS = 1000
CURVATURE = 0.1  # h: p (1 - p) of a likely class
MAX_PRECONDITIONED = 4096  # features; beyond, the covariance costs more than it saves
COVARIANCE_IMAGES = 10_000  # that S is estimated from
NOT_FINITE = "the loss of a linear classifier is not finite; check the features"

# labels of a chunk, scores [n, outputs] -> the sum of its losses, and their gradients in the scores
Loss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def softmax_loss(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Multinomial logistic regression; labels int [n], classes."""
    images = np.arange(len(labels))
    log_probabilities = scipy.special.log_softmax(scores, axis=1)
    gradient = np.exp(log_probabilities)
    gradient[images, labels] -= 1
    return -float(log_probabilities[images, labels].sum(dtype=np.float64)), gradient


def sigmoid_loss(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """A logistic regression for each attribute; labels [n, A], 0 or 1."""
    losses = np.logaddexp(0, scores) - labels * scores
    return float(losses.sum(dtype=np.float64)), scipy.special.expit(scores) - labels


def squared_hinge_loss(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """A support vector machine for each class against the rest; labels int [n], classes."""
    signs = np.full(scores.shape, -1, scores.dtype)
    signs[np.arange(len(labels)), labels] = 1
    slack = np.maximum(1 - signs * scores, 0)
    return float(np.square(slack).sum(dtype=np.float64)), -2 * signs * slack


@dataclass(frozen=True)
class LinearClassifier:
    """A trained classifier.

    Attributes:
        weights: of the standardised features, float64 [F, outputs].
        bias: float64 [outputs].
        scale: of the features, 1 / (std √F): float32 [F].
        mean: of the features, float32 [F].
        loss: at the minimum that was reached: what is minimised, over C times the images.
        iterations: of the solver.
        converged: whether the loss stopped falling, rather than the iterations reaching their
            limit or the line search failing.
    """

    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    loss: float
    iterations: int
    converged: bool

    def scores(self, features: np.ndarray, indices: np.ndarray | None = None) -> np.ndarray:
        """Scores of features [N, F], or of some of them: float32 [N or K, outputs]."""
        kernel, bias = _fold(self.weights, self.bias, self.scale, self.mean)
        chunks = _chunks(features, indices, len(bias))
        return np.concatenate([features[chunk] @ kernel + bias for chunk in chunks])


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    outputs: int,
    loss: Loss,
    c: float,
    *,
    indices: np.ndarray | None = None,
    penalise_bias: bool = False,
    initial: LinearClassifier | None = None,
    preconditioned: bool = True,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> LinearClassifier:
    """Trains a classifier.

    Args:
        features: float32 [N, F]; may be memory-mapped.
        labels: [N, ...], as the loss takes them.
        outputs: scores of an image.
        loss: of a chunk.
        c: C, the weight of the losses.
        indices: int [K], the images to train on; None: all.
        penalise_bias: whether ½ bias² is added to the loss, as by LIBLINEAR.
        initial: a classifier to start from, of the same features and images; None: weights of 0.
        preconditioned: whether the solver works on z; see the module's text.
        tolerance: see `TOLERANCE`.
        max_iterations: limit of the iterations.

    Raises:
        RunError: the features are not finite.
    """
    if initial is None:
        mean, variance = moments(features if indices is None else features[np.sort(indices)])
        scale = 1 / np.sqrt(variance * np.float32(features.shape[1]))
    else:
        mean, scale = initial.mean, initial.scale
    size = features.shape[1]
    count = len(features) if indices is None else len(indices)
    chunks = _chunks(features, indices, outputs)
    factor = None
    if preconditioned and size <= MAX_PRECONDITIONED:
        factor = _hessian_factor(features, chunks, scale, mean, c * count)

    def unpack(flat):
        """Weights and bias."""
        z, bias = flat[:-outputs].reshape(size, outputs), flat[-outputs:]
        if factor is None:
            return z, bias
        return scipy.linalg.solve_triangular(factor, z, trans="T", lower=True), bias

    def objective(flat):
        """Both divided by C K, so that the loss is about 1."""
        weights, bias = unpack(flat)
        kernel, folded_bias = _fold(weights, bias, scale, mean)
        value = 0.0
        kernel_gradient = np.zeros((size, outputs))
        bias_gradient = np.zeros(outputs)
        for chunk in chunks:
            rows = features[chunk]
            of_chunk, score_gradient = loss(labels[chunk], rows @ kernel + folded_bias)
            value += of_chunk
            kernel_gradient += rows.T @ score_gradient
            bias_gradient += score_gradient.sum(axis=0, dtype=np.float64)
        gradient = scale[:, np.newaxis] * (kernel_gradient - np.outer(mean, bias_gradient))
        penalised_bias = bias if penalise_bias else np.zeros(outputs)
        penalty = (np.sum(weights**2) + np.sum(penalised_bias**2)) / 2
        gradient = (gradient + weights / c) / count
        if factor is not None:
            gradient = scipy.linalg.solve_triangular(factor, gradient, lower=True)
        bias_gradient = (bias_gradient + penalised_bias / c) / count
        flat_gradient = np.concatenate([gradient.ravel(), bias_gradient])
        return (c * value + penalty) / (c * count), flat_gradient

    start = np.zeros((size + 1) * outputs)
    if initial is not None:
        z = initial.weights if factor is None else factor.T @ initial.weights
        start = np.concatenate([z.ravel(), initial.bias])
    # The threads of NumPy's BLAS and of SciPy's, which alternate here, would wait for each other
    # busily, which takes many times as long on a busy machine.
    with threadpoolctl.threadpool_limits(1, "blas"):
        solution = scipy.optimize.minimize(
            objective,
            start,
            method="L-BFGS-B",
            jac=True,
            options={
                "maxiter": max_iterations,
                "maxfun": 2 * max_iterations,
                "ftol": tolerance,
                "gtol": 0,
            },
        )
    if not np.isfinite(solution.fun):
        raise RunError(NOT_FINITE)
    weights, bias = unpack(solution.x)
    return LinearClassifier(
        weights,
        bias,
        scale,
        mean,
        float(solution.fun),
        solution.nit,
        solution.status == 0,  # 1: a limit was reached; 2: rounding hides the descent
    )


def _hessian_factor(features, chunks, scale, mean, weight):
    """L, lower triangular [F, F]: L Lᵀ = h S + I / weight."""
    covariance = np.zeros((features.shape[1], features.shape[1]))
    count = 0
    for chunk in chunks:
        rows = (features[chunk] - mean) * scale
        covariance += rows.T @ rows
        count += len(rows)
        if count >= COVARIANCE_IMAGES:
            break
    if not np.isfinite(covariance).all():
        raise RunError(NOT_FINITE)
    hessian = CURVATURE / count * covariance
    hessian[np.diag_indices_from(hessian)] += 1 / weight
    return scipy.linalg.cholesky(hessian, lower=True, overwrite_a=True)


def _fold(weights, bias, scale, mean):
    """Kernel and bias of features that are not standardised, float32."""
    kernel = scale[:, np.newaxis] * weights
    return kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32)


def _chunks(features, indices, outputs):
    """Slices of all features, or pieces of the indices."""
    length = max(CHUNK_BYTES // (4 * max(features.shape[1], outputs)), 1)
    count = len(features) if indices is None else len(indices)
    slices = [slice(first, first + length) for first in range(0, count, length)]
    return slices if indices is None else [indices[chunk] for chunk in slices]
