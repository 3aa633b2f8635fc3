"""Barlow Twins: redundancy reduction between two views."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.distribute import replicas
from keras_models.nn import layers
from keras_models.terms.projected import ProjectedTerm


@keras.saving.register_keras_serializable(layers.PACKAGE)
class BarlowTwins(ProjectedTerm):
    """Pulls the cross-correlation of two views to the identity (Zbontar et al. 2021, eq. 1).

    https://arxiv.org/abs/2103.03230

    The loss is Σ_i (1 - C_ii)² + λ Σ_{i≠j} C_ij², where C_ij is the correlation, over the images of
    all replicas, of dimension i of one view's projection with dimension j of the other's (eq. 2).

    Args:
        hidden_units: Units of each hidden layer of the projector; the paper's layers have 8192.
        projected_units: P, units of its output.
        redundancy: λ; the paper's 0.005.
        **kwargs: Arguments of `ProjectedTerm`.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (1024, 1024),
        projected_units: int = 1024,
        redundancy: float = 0.005,
        name: str = "barlow_twins",
        **kwargs,
    ):
        super().__init__(hidden_units, projected_units, name=name, **kwargs)
        self.redundancy = redundancy

    def compare(self, first, second):
        correlation = cross_correlation(replicas.concat(first), replicas.concat(second))
        diagonal = tf.linalg.diag_part(correlation)
        metrics = {
            "invariance": tf.reduce_sum((1 - diagonal) ** 2),
            "redundancy": tf.reduce_sum(correlation**2) - tf.reduce_sum(diagonal**2),
        }
        return metrics["invariance"] + self.redundancy * metrics["redundancy"], metrics

    def get_config(self):
        return {**super().get_config(), "redundancy": self.redundancy}


def cross_correlation(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Correlations of the dimensions of two batches, [B, P] each: [P, P]."""

    def standardised(x):
        mean, variance = tf.nn.moments(x, axes=[0])
        return (x - mean) * tf.math.rsqrt(variance + layers.NORM_EPSILON)

    images = tf.cast(tf.shape(first)[0], tf.float32)
    return tf.matmul(standardised(first), standardised(second), transpose_a=True) / images
