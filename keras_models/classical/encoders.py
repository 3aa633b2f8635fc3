"""The encoders of classical methods: linear maps, quadratic maps, distances from prototypes."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_models.encoders.base import serializable
from keras_models.encoders.blocks import DenseHead, flatten
from keras_models.encoders.staged import StagedEncoder

PATCH_VARIANCE = 10.0  # added to a patch's, for pixels in 0..255: Coates et al. 2011


@serializable
class LinearEncoder(StagedEncoder):
    """A linear map of all pixels, with the only endpoint "global": pca, fastica, infomax_ica, rbm.

    Args:
        image_shape: (height, width, channels) of an image.
        latent_dim: D, the number of numbers in the global feature.
        sigmoid: Whether the logistic function is applied to each of them.
        synchronized: Unused; every encoder has this argument.
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


@serializable
class QuadraticEncoder(StagedEncoder):
    """All monomials of degree 1 and 2 of a linear map, and a linear map of these: sfa.

    Its only endpoint is "global".

    Args:
        image_shape: (height, width, channels) of an image.
        reduced_dim: R, the number of outputs of the first map.
        latent_dim: D, the number of numbers in the global feature.
        synchronized: Unused; every encoder has this argument.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        reduced_dim: int,
        latent_dim: int = 64,
        synchronized: bool = False,
        **kwargs,
    ):
        stages: list[keras.layers.Layer] = [
            DenseHead(reduced_dim, name="reduced"),
            Monomials(name="monomials"),
            DenseHead(latent_dim, name="global"),
        ]
        super().__init__(image_shape, stages, {"global": 2}, latent_dim, synchronized, **kwargs)
        self.reduced_dim = reduced_dim
        self.latent_dim = latent_dim

    def assign(
        self,
        reduction: np.ndarray,
        reduction_mean: np.ndarray,
        matrix: np.ndarray,
        mean: np.ndarray,
    ) -> None:
        """Sets both maps, each of the form x -> (x - mean) · matrix.

        Args:
            reduction: [F, R], for flattened images in [-1, 1].
            reduction_mean: [F].
            matrix: [R(R + 3)/2, D], for the monomials.
            mean: [R(R + 3)/2].
        """
        _assign_affine(self.stages[0].dense, reduction, reduction_mean)
        _assign_affine(self.stages[2].dense, matrix, mean)

    def get_config(self):
        return self.config_of("reduced_dim", "latent_dim")


class Monomials(keras.layers.Layer):
    """[N, R] -> [N, R(R + 3)/2]: x_i, then x_i · x_j with i ≤ j, row by row."""

    def compute_output_shape(self, input_shape):
        count = input_shape[-1]
        return (input_shape[0], count * (count + 3) // 2)

    def call(self, x, training=False, random=None):
        first, second = np.triu_indices(x.shape[-1])
        products = tf.gather(x, first, axis=1) * tf.gather(x, second, axis=1)
        return tf.concat([x, products], axis=1)


@serializable
class PrototypeEncoder(StagedEncoder):
    """How close an image is to each of some prototypes, as the only endpoint "global": som.

    Args:
        image_shape: (height, width, channels) of an image.
        prototypes: D, the number of prototypes.
        synchronized: Unused; every encoder has this argument.
    """

    def __init__(
        self, image_shape: Sequence[int], prototypes: int, synchronized: bool = False, **kwargs
    ):
        stages: list[keras.layers.Layer] = [
            Flatten(name="flatten"),
            TriangleActivation(prototypes, name="global"),
        ]
        super().__init__(image_shape, stages, {"global": 1}, prototypes, synchronized, **kwargs)
        self.prototypes = prototypes

    def assign(self, prototypes: np.ndarray) -> None:
        """Sets the prototypes, [D, F], for flattened images in [-1, 1]."""
        self.stages[1].prototypes.assign(prototypes)

    def get_config(self):
        return self.config_of("prototypes")


class Flatten(keras.layers.Layer):
    """[N, ...] -> [N, F]."""

    def compute_output_shape(self, input_shape):
        return (input_shape[0], math.prod(input_shape[1:]))

    def call(self, x, training=False, random=None):
        return flatten(x)


class TriangleActivation(keras.layers.Layer):
    """max(0, mean distance from all prototypes - distance from this one).

    This is the activation "K-means (triangle)" of Coates et al. 2011, section 3.1.2
    (http://proceedings.mlr.press/v15/coates11a): about half of the numbers are 0.

    Args:
        count: K, the number of prototypes.
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape):
        self.prototypes = self.add_weight(
            shape=(self.count, input_shape[-1]), initializer="random_normal", name="prototypes"
        )
        self.built = True

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.count)

    def call(self, x, training=False, random=None):
        """[..., F] -> [..., K]."""
        prototypes = tf.cast(self.prototypes, x.dtype)
        squares = tf.reduce_sum(x**2, -1, keepdims=True) + tf.reduce_sum(prototypes**2, -1)
        squared = squares - 2 * tf.tensordot(x, prototypes, [[-1], [1]])
        distances = tf.sqrt(tf.maximum(squared, 0.0))
        return tf.nn.relu(tf.reduce_mean(distances, -1, keepdims=True) - distances)


@serializable
class PatchPrototypeEncoder(StagedEncoder):
    """The features of Coates et al. 2011: how close each patch is to some centroids.

    Endpoints: "local", the activations at each location; "global", their sums over the image's
    quadrants.

    Args:
        image_shape: (height, width, channels) of an image.
        centroids: K, the number of centroids.
        patch: p, the side of a patch in pixels.
        stride: Pixels from one patch to the next.
        synchronized: Unused; every encoder has this argument.

    Raises:
        ValueError: The images do not have at least two patches a side.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        centroids: int = 400,
        patch: int = 6,
        stride: int = 1,
        synchronized: bool = False,
        **kwargs,
    ):
        if min(image_shape[:2]) < patch + stride:
            raise ValueError(
                f"images of {image_shape[0]}x{image_shape[1]} pixels have not two patches of "
                f"{patch} pixels a side, {stride} apart; give smaller patches"
            )
        stages: list[keras.layers.Layer] = [
            NormalizedPatches(patch, stride, name="patches"),
            DenseHead(patch * patch * image_shape[2], flatten=False, name="whitening"),
            TriangleActivation(centroids, name="local"),
            QuadrantSums(name="global"),
        ]
        endpoints = {"local": 2, "global": 3}
        super().__init__(image_shape, stages, endpoints, 4 * centroids, synchronized, **kwargs)
        self.centroids = centroids
        self.patch = patch
        self.stride = stride

    def assign(self, whitening: np.ndarray, mean: np.ndarray, centroids: np.ndarray) -> None:
        """Sets the whitening x -> (x - mean) · whitening of normalized patches, and the centroids.

        Args:
            whitening: [P, P], where P is the number of numbers in a patch.
            mean: [P].
            centroids: [K, P], in whitened patches.
        """
        _assign_affine(self.stages[1].dense, whitening, mean)
        self.stages[2].prototypes.assign(centroids)

    def get_config(self):
        return self.config_of("centroids", "patch", "stride")


class NormalizedPatches(keras.layers.Layer):
    """Every patch of an image, minus its mean, divided by √(its variance + 10).

    Coates et al. 2011, section 3.1.1; the 10 is for pixels in 0..255, to which patches are scaled.

    Args:
        size: p, the side of a patch in pixels.
        stride: Pixels from one patch to the next.
    """

    def __init__(self, size: int, stride: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.stride = stride

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        down, across = ((side - self.size) // self.stride + 1 for side in (height, width))
        return (n, down, across, self.size**2 * channels)

    def call(self, x, training=False, random=None):
        """[N, H, W, C] in [-1, 1] -> [N, h, w, p·p·C], each patch row by row."""
        numbers = self.size**2 * x.shape[-1]
        # A convolution with unit kernels, because TFLite has no operator that cuts patches.
        kernel = np.eye(numbers).reshape(self.size, self.size, x.shape[-1], numbers)
        patches = tf.nn.conv2d(x, tf.constant(kernel, x.dtype), self.stride, "VALID") * 127.5
        centered = patches - tf.reduce_mean(patches, -1, keepdims=True)
        variance = tf.reduce_sum(centered**2, -1, keepdims=True) / (numbers - 1)
        return centered / tf.sqrt(variance + PATCH_VARIANCE)


class QuadrantSums(keras.layers.Layer):
    """[N, h, w, K] -> [N, 4·K], sums over the quadrants: the upper two, then the lower two.

    The line in the middle of an odd side belongs to the second half.
    """

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 4 * input_shape[-1])

    def call(self, x, training=False, random=None):
        row, column = x.shape[1] // 2, x.shape[2] // 2
        sums = [
            tf.reduce_sum(half, [1, 2])
            for rows in (x[:, :row], x[:, row:])
            for half in (rows[:, :, :column], rows[:, :, column:])
        ]
        return tf.concat(sums, axis=-1)
