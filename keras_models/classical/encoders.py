"""The encoders of classical methods: linear maps, quadratic ones and distances to prototypes."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_models.encoders.base import serializable
from keras_models.encoders.blocks import DenseHead, flatten
from keras_models.encoders.staged import StagedEncoder
from keras_models.nn import layers


@serializable
class LinearEncoder(StagedEncoder):
    """A linear map of all pixels, the only endpoint "global": pca, fastica, infomax_ica, rbm.

    Args:
        image_shape: (height, width, channels) of an image.
        latent_dim: D, the numbers of the global feature.
        sigmoid: Whether the logistic function is applied to each of them.
        synchronized: Unused; an argument of every encoder.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int = 64,
        sigmoid: bool = False,
        synchronized: bool = False,
        **kwargs,
    ):
        stages: list[keras.layers.Layer] = [DenseHead(latent_dim, name="linear")]
        if sigmoid:
            stages.append(Sigmoid(name="global"))
        endpoints = {"global": len(stages) - 1}
        super().__init__(image_shape, stages, endpoints, latent_dim, synchronized, **kwargs)
        self.latent_dim = latent_dim
        self.sigmoid = sigmoid

    def assign(self, matrix: np.ndarray, mean: np.ndarray, offset: np.ndarray | float = 0) -> None:
        """Sets the map x -> (x - mean) · matrix + offset of flattened images in [-1, 1].

        Args:
            matrix: [F, D].
            mean: [F].
            offset: [D], or one number.
        """
        _assign_affine(self.stages[0].dense, matrix, mean, offset)

    def get_config(self):
        return self.config_of("latent_dim", "sigmoid")


class Sigmoid(keras.layers.Layer):
    """The logistic function."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x, training=False, random=None):
        return tf.sigmoid(x)


def _assign_affine(dense, matrix, mean, offset=0.0) -> None:
    """Sets a dense layer to x -> (x - mean) · matrix + offset, computed in float64."""
    matrix = np.asarray(matrix, np.float64)
    dense.kernel.assign(matrix)
    dense.bias.assign(np.asarray(offset) - np.asarray(mean, np.float64) @ matrix)
