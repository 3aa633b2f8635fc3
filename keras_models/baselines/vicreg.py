"""VICReg: variance, invariance, covariance."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.baselines.two_views import TwoViews
from keras_models.distribute import replicas
from keras_models.nn import layers
from keras_models.views import Augmentation

VARIANCE_EPSILON = 1e-4


@keras.saving.register_keras_serializable(layers.PACKAGE)
class VICReg(TwoViews):
    """Minimises VICReg's three terms of two views (Bardes et al. 2022, eq. 6).

    The invariance is the mean squared difference over images and numbers, to which the paper's
    weights belong in its published code; its eq. 5 has the sum over numbers. The variance is the
    mean of both views', as in that code; eq. 6 has their sum. Variance and covariance are over the
    images of all replicas.

    Args:
        encoder: images -> endpoints.
        hidden_units: of each hidden layer of the projector, the paper's expander.
        projected_units: of its output; the paper's layers have 8192 units.
        invariance: λ.
        variance: μ.
        covariance: ν.
        augmentation: makes a view; None: with the default ranges.
        seed: of the random numbers drawn in training.
    """

    def __init__(
        self,
        encoder,
        hidden_units: Sequence[int] = (1024, 1024),
        projected_units: int = 1024,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, hidden_units, projected_units, augmentation, seed, **kwargs)
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def compare(self, first, second):
        metrics = {
            "invariance": tf.reduce_mean((first - second) ** 2),
            "variance_hinge": tf.constant(0.0),
            "covariance": tf.constant(0.0),
        }
        for view in (first, second):
            every = tf.reshape(replicas.stack(view), [-1, view.shape[1]])  # [B, P]
            spread = covariance_matrix(every)
            metrics["variance_hinge"] += 0.5 * variance_hinge(spread)
            metrics["covariance"] += off_diagonal(spread)
        loss = self.invariance * metrics["invariance"]
        loss += self.variance * metrics["variance_hinge"] + self.covariance * metrics["covariance"]
        return loss, metrics

    def config(self):
        return {
            **super().config(),
            "invariance": self.invariance,
            "variance": self.variance,
            "covariance": self.covariance,
        }


def covariance_matrix(x: tf.Tensor) -> tf.Tensor:
    """[B, P] -> [P, P], unbiased (eq. 3)."""
    centred = x - tf.reduce_mean(x, axis=0)
    rows = tf.cast(tf.shape(x)[0], tf.float32)
    return tf.matmul(centred, centred, transpose_a=True) / (rows - 1)


def variance_hinge(covariance: tf.Tensor) -> tf.Tensor:
    """The mean over the P numbers of max(0, 1 - standard deviation) (eq. 1 and 2)."""
    variance = tf.linalg.diag_part(covariance)
    return tf.reduce_mean(tf.nn.relu(1 - tf.sqrt(variance + VARIANCE_EPSILON)))


def off_diagonal(covariance: tf.Tensor) -> tf.Tensor:
    """The sum of the squares off the diagonal, over P (eq. 4)."""
    squares = covariance**2
    size = tf.cast(tf.shape(covariance)[0], tf.float32)
    return (tf.reduce_sum(squares) - tf.reduce_sum(tf.linalg.diag_part(squares))) / size
