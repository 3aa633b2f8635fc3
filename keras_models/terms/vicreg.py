"""VICReg: variance, invariance, covariance."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.distribute import replicas
from keras_models.nn import layers
from keras_models.terms.projected import ProjectedTerm

VARIANCE_EPSILON = 1e-4


@keras.saving.register_keras_serializable(layers.PACKAGE)
class VICReg(ProjectedTerm):
    """The three terms of VICReg on two views (Bardes et al. 2022, eq. 6).

    https://arxiv.org/abs/2105.04906

    The invariance is the mean squared difference over images and dimensions, as in the published
    code, for which the paper's weights are tuned; eq. 5 has the sum over dimensions. The variance
    is the mean over both views, as in that code; eq. 6 has the sum. Variance and covariance are
    over the images of all replicas.

    Args:
        hidden_units: Units of each hidden layer of the projector, the paper's expander.
        projected_units: P, units of its output; the paper's layers have 8192 units.
        invariance: λ.
        variance: μ.
        covariance: ν.
        **kwargs: Arguments of `ProjectedTerm`.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (1024, 1024),
        projected_units: int = 1024,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        name: str = "vicreg",
        **kwargs,
    ):
        super().__init__(hidden_units, projected_units, name=name, **kwargs)
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def compare(self, first, second):
        covariances = [covariance_matrix(replicas.concat(view)) for view in (first, second)]
        metrics = {
            "invariance": tf.reduce_mean((first - second) ** 2),
            "variance_hinge": tf.add_n([variance_hinge(x) for x in covariances]) / 2,
            "covariance": tf.add_n([off_diagonal(x) for x in covariances]),
        }
        loss = self.invariance * metrics["invariance"]
        loss += self.variance * metrics["variance_hinge"] + self.covariance * metrics["covariance"]
        return loss, metrics

    def get_config(self):
        return {
            **super().get_config(),
            "invariance": self.invariance,
            "variance": self.variance,
            "covariance": self.covariance,
        }


def covariance_matrix(x: tf.Tensor) -> tf.Tensor:
    """[B, P] -> [P, P], unbiased (eq. 3)."""
    centred = x - tf.reduce_mean(x, axis=0)
    images = tf.cast(tf.shape(x)[0], tf.float32)
    return tf.matmul(centred, centred, transpose_a=True) / (images - 1)


def variance_hinge(covariance: tf.Tensor) -> tf.Tensor:
    """The mean over the P dimensions of max(0, 1 - standard deviation) (eq. 1 and 2)."""
    variance = tf.linalg.diag_part(covariance)
    return tf.reduce_mean(tf.nn.relu(1 - tf.sqrt(variance + VARIANCE_EPSILON)))


def off_diagonal(covariance: tf.Tensor) -> tf.Tensor:
    """The sum of squares off the diagonal, divided by P (eq. 4)."""
    squares = covariance**2
    size = tf.cast(tf.shape(covariance)[0], tf.float32)
    return (tf.reduce_sum(squares) - tf.reduce_sum(tf.linalg.diag_part(squares))) / size
