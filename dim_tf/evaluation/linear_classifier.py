"""Linear classifiers at the minimum of a convex loss: logistic regression, support vector machines.

    minimise  C Σ loss(image) + ½ |weights|²

over standardised features divided by the square root of their number, so that the norm of an image
is about 1 for features of any size. Such a problem has only one solution, whatever the solver. The
solver is L-BFGS (Liu & Nocedal 1989; SciPy's). It computes the loss and its gradient by products of
chunks of the features, without copying them. The standardisation is folded into the weights:

    (x - mean) / (std √F) · w + b  =  x · v + (b - mean · v),  v = w / (std √F)

Features are correlated, which makes the solver slow: it takes hundreds of steps along the narrow
valleys of the loss. So it works on z instead of w, with w = P^(-1/2) z and P = h S + I / (C K), the
Hessian of a loss of constant curvature h, where S is the covariance of those features. In z that
Hessian is the identity. The largest eigenvalues λ of S and their vectors U are enough (Frangella,
Tropp & Udell 2021, https://arxiv.org/abs/2110.02820); all other eigenvalues are assumed to equal
the smallest of these:

    P^(-1/2) v = v / √δ + U ((h λ + 1 / (C K))^(-1/2) - 1 / √δ) Uᵀ v,  δ = h min λ + 1 / (C K)

The solution is the same; benchmarks/linear_classifier.py measures the seconds with and without it
(docs/EVALUATION.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.optimize
import scipy.special
import threadpoolctl
from sklearn.utils.extmath import randomized_svd

from dim_tf.evaluation.standardisation import chunk_moments
from dim_tf.system.errors import RunError

CHUNK_BYTES = 2**22  # of the features in one product: what caches hold
TOLERANCE = 1e-7  # relative decrease of the loss that ends the iterations
MAX_ITERATIONS = 1000
CURVATURE = 0.1  # h: p (1 - p) of a likely class
EIGENVALUES = 64  # of S
COVARIANCE_IMAGES = 10_000  # from which S is estimated; fewer for large features
COVARIANCE_BYTES = 2**28
NOT_FINITE = "the loss of a linear classifier is not finite; check the features"

# labels of a chunk, scores [n, outputs] -> the sum of its losses, and their gradients in the scores
Loss = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def softmax_loss(
    labels: np.ndarray, scores: np.ndarray, class_weights: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Multinomial logistic regression.

    Args:
        labels: int [n], classes.
        scores: float [n, C].
        class_weights: float [C], factors of the losses of each class's images; None: 1.
    """
    images = np.arange(len(labels))
    log_probabilities = scipy.special.log_softmax(scores, axis=1)
    gradient = np.exp(log_probabilities)
    gradient[images, labels] -= 1
    losses = -log_probabilities[images, labels]
    if class_weights is not None:
        factors = class_weights[labels].astype(scores.dtype)
        losses, gradient = losses * factors, gradient * factors[:, np.newaxis]
    return float(losses.sum(dtype=np.float64)), gradient


def sigmoid_loss(
    labels: np.ndarray, scores: np.ndarray, class_weights: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """A logistic regression for each attribute.

    Args:
        labels: [n, A], 0 or 1.
        scores: float [n, A].
        class_weights: float [2, A], factors of the losses of absent and of present attributes;
            None: 1.
    """
    losses = np.logaddexp(0, scores) - labels * scores
    gradient = scipy.special.expit(scores) - labels
    if class_weights is not None:
        factors = np.where(labels == 1, class_weights[1], class_weights[0]).astype(scores.dtype)
        losses, gradient = losses * factors, gradient * factors
    return float(losses.sum(dtype=np.float64)), gradient


def squared_hinge_loss(labels: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """A support vector machine for each class against the rest; labels int [n], classes."""
    signs = np.full(scores.shape, -1, scores.dtype)
    signs[np.arange(len(labels)), labels] = 1
    slack = np.maximum(1 - signs * scores, 0)
    return float(np.square(slack).sum(dtype=np.float64)), -2 * signs * slack


@dataclass(frozen=True)
class LinearClassifier:
    """A trained linear classifier.

    Attributes:
        weights: Weights of the standardised features, float64 [F, outputs].
        bias: float64 [outputs].
        scale: Scale of the features, 1 / (std √F): float32 [F].
        mean: Mean of the features, float32 [F].
        loss: The minimum that was reached: the objective divided by C times the number of images.
        iterations: Iterations of the solver.
        converged: Whether the loss stopped falling; False if the iterations reached their limit or
            the line search failed.
    """

    weights: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    loss: float
    iterations: int
    converged: bool

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel, float32 [F, outputs], and bias for features that are not standardised."""
        return _fold(self.weights, self.bias, self.scale, self.mean)

    def scores(self, features: np.ndarray, indices: np.ndarray | None = None) -> np.ndarray:
        """Scores of features [N, F], or of some of them: float32 [N or K, outputs]."""
        kernel, bias = self.folded()
        chunks = _chunks(features, indices, len(bias))
        return np.concatenate([features[chunk] @ kernel + bias for chunk in chunks])


class Problem:
    """A convex problem without its C: what trainings on the same images have in common.

    Args:
        features: float32 [N, F]; may be memory-mapped.
        labels: [N, ...], in the form that the loss takes.
        outputs: Number of scores per image.
        loss: Loss of a chunk.
        indices: int [K], the images to train on; None: all.
        penalise_bias: Whether ½ bias² is added to the loss, as in LIBLINEAR.
        preconditioned: Whether the solver works on z; see the module's docstring.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 100)
    >>> features = (np.eye(3)[labels] + rng.normal(0, 0.3, (100, 3))).astype(np.float32)
    >>> classifier = Problem(features, labels, 3, softmax_loss).fit(c=10.0)
    >>> bool((classifier.scores(features).argmax(axis=1) == labels).mean() > 0.9)
    True
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        outputs: int,
        loss: Loss,
        *,
        indices: np.ndarray | None = None,
        penalise_bias: bool = False,
        preconditioned: bool = True,
    ):
        self._features = features
        self._labels = labels
        self._outputs = outputs
        self._loss = loss
        self._penalise_bias = penalise_bias
        self._preconditioned = preconditioned
        self._count = len(features) if indices is None else len(indices)
        self._chunks = _chunks(features, None if indices is None else np.sort(indices), outputs)
        self._mean, variance = chunk_moments(features, self._chunks)
        self._scale = 1 / np.sqrt(variance * np.float32(features.shape[1]))

    def fit(
        self,
        c: float,
        *,
        initial: LinearClassifier | None = None,
        tolerance: float = TOLERANCE,
        max_iterations: int = MAX_ITERATIONS,
    ) -> LinearClassifier:
        """Trains a classifier.

        Args:
            c: C, the weight of the losses.
            initial: A classifier of this problem to start from; None: weights of 0.
            tolerance: See `TOLERANCE`.
            max_iterations: Limit on the iterations.

        Raises:
            RunError: The features are not finite.
        """
        size, outputs = self._features.shape[1], self._outputs
        root, inverse_root = self._square_roots(c)

        def objective(flat):
            """The loss and its gradient, both divided by C K, so that the loss is about 1."""
            weights = inverse_root(flat[:-outputs].reshape(size, outputs))
            value, gradient, bias_gradient = self._objective(weights, flat[-outputs:], c)
            return value, np.concatenate([inverse_root(gradient).ravel(), bias_gradient])

        start = np.zeros((size + 1) * outputs)
        if initial is not None:
            start = np.concatenate([root(initial.weights).ravel(), initial.bias])
        # The threads of NumPy's BLAS and of SciPy's, which alternate here, would wait for each
        # other busily, which takes many times as long on a busy machine.
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
        return LinearClassifier(
            inverse_root(solution.x[:-outputs].reshape(size, outputs)),
            solution.x[-outputs:],
            self._scale,
            self._mean,
            float(solution.fun),
            solution.nit,
            solution.status == 0,  # 1: a limit was reached; 2: rounding hides the descent
        )

    def _objective(self, weights, bias, c):
        """The loss over C K, and its gradients in weights and bias."""
        kernel, folded_bias = _fold(weights, bias, self._scale, self._mean)
        value = 0.0
        kernel_gradient = np.zeros(weights.shape)
        bias_gradient = np.zeros(len(bias))
        for chunk in self._chunks:
            rows = self._features[chunk]
            of_chunk, score_gradient = self._loss(self._labels[chunk], rows @ kernel + folded_bias)
            value += of_chunk
            kernel_gradient += rows.T @ score_gradient
            bias_gradient += score_gradient.sum(axis=0, dtype=np.float64)
        gradient = kernel_gradient - np.outer(self._mean, bias_gradient)
        gradient = self._scale[:, np.newaxis] * gradient + weights / c
        penalty = np.sum(weights**2)
        if self._penalise_bias:
            penalty += np.sum(bias**2)
            bias_gradient = bias_gradient + bias / c
        value = (c * value + penalty / 2) / (c * self._count)
        return value, gradient / self._count, bias_gradient / self._count

    def _square_roots(self, c):
        """P^(1/2) and P^(-1/2), functions of [F, outputs]."""
        if not self._preconditioned:
            return lambda v: v, lambda v: v
        eigenvalues, vectors = self._eigenvectors
        scaled = CURVATURE * eigenvalues + 1 / (c * self._count)

        def power(exponent):
            rest = scaled[-1] ** exponent
            change = (scaled**exponent - rest)[:, np.newaxis]
            return lambda v: rest * v + vectors @ (change * (vectors.T @ v))

        return power(0.5), power(-0.5)

    @cached_property
    def _eigenvectors(self):
        """The largest eigenvalues of S, descending [k], and their vectors [F, k]."""
        size = self._features.shape[1]
        limit = max(min(COVARIANCE_IMAGES, COVARIANCE_BYTES // (4 * size)), 1)
        pieces, count = [], 0
        for chunk in self._chunks:
            pieces.append((self._features[chunk] - self._mean) * self._scale)
            count += len(pieces[-1])
            if count >= limit:
                break
        rows = np.concatenate(pieces) / np.float32(np.sqrt(count))
        if not np.isfinite(rows).all():
            raise RunError(NOT_FINITE)
        components = min(EIGENVALUES, *rows.shape)
        _, roots, vectors = randomized_svd(rows, components, n_iter=2, random_state=0)
        return roots.astype(np.float64) ** 2, vectors.T.astype(np.float64)


def _fold(weights, bias, scale, mean):
    """Kernel and bias for features that are not standardised, float32."""
    kernel = scale[:, np.newaxis] * weights
    return kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32)


def _chunks(features, indices, outputs):
    """Slices of all features, or pieces of the indices."""
    length = max(CHUNK_BYTES // (4 * max(features.shape[1], outputs)), 1)
    count = len(features) if indices is None else len(indices)
    slices = [slice(first, first + length) for first in range(0, count, length)]
    return slices if indices is None else [indices[chunk] for chunk in slices]
