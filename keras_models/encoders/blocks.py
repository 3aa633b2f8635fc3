"""Building blocks of staged encoders, called with (x, training, random)."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_models.nn import layers

POOL, POOL_STRIDE = 3, 2


def dropout(x, rate: float, random, purpose: str, whole_channels: bool = False):
    """Dropout: zeroes each number with probability `rate` and scales the rest by 1/(1 - rate).

    Args:
        x: [N, ..., C].
        rate: Probability, below 1.
        random: `StepRandom` of the training step, whose noise belongs to the example; None: numbers
            from TensorFlow's global generator.
        purpose: Purpose of the random numbers.
        whole_channels: Whether a channel of an image is dropped at all locations or at none.
    """
    shape = x.shape[-1:] if whole_channels else x.shape[1:]
    if random is None:
        noise = tf.random.uniform([tf.shape(x)[0], *shape])
    else:
        noise = random.uniform(purpose, tf.shape(x)[0], tuple(shape))
    if whole_channels:
        noise = tf.reshape(noise, [-1, *[1] * (len(x.shape) - 2), x.shape[-1]])
    return tf.where(noise < rate, tf.zeros_like(x), x / tf.cast(1 - rate, x.dtype))


class ConvBlock(keras.layers.Layer):
    """Convolution -> dropout of channels -> batch norm -> ReLU -> max pool 3x3/2 without padding.

    Args:
        filters: Filters of the convolution.
        kernel: Side of its kernel.
        stride: Its stride.
        pad: Pixels of zero padding on each side.
        pool: Whether there is a max pool.
        dropout: Dropout rate; 0: no dropout.
        use_bias: Whether the convolution has a bias.
        norm: Whether there is batch norm.
        kernel_stddev: Standard deviation of the normal initialisation of the kernel; None: uniform
            in ±1/√fan_in.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(
        self,
        filters: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        pool: bool = False,
        dropout: float = 0.0,
        use_bias: bool = False,
        norm: bool = True,
        kernel_stddev: float | None = None,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(
            filters,
            kernel,
            stride,
            pad,
            use_bias=use_bias,
            name="conv",
            **_kernel_initializer(kernel_stddev),
        )
        self.norm = layers.batch_norm(synchronized, "norm") if norm else None
        self.pool = pool
        self.dropout = dropout

    def build(self, input_shape):
        self.conv.build(input_shape)
        if self.norm:
            self.norm.build(self.conv.compute_output_shape(input_shape))
        self.built = True

    def compute_output_shape(self, input_shape):
        n, height, width, filters = self.conv.compute_output_shape(input_shape)
        if self.pool:
            height, width = ((side - POOL) // POOL_STRIDE + 1 for side in (height, width))
        return (n, height, width, filters)

    def call(self, x, training=False, random=None):
        x = self.conv(x)
        if self.dropout and training:
            x = dropout(x, self.dropout, random, f"dropout of {self.name}", whole_channels=True)
        if self.norm:
            x = self.norm(x, training=training)
        x = tf.nn.relu(x)
        return tf.nn.max_pool2d(x, POOL, POOL_STRIDE, "VALID") if self.pool else x


def conv_blocks(convolutions: Sequence[Sequence[int]], prefix: str, **shared) -> list[ConvBlock]:
    """A `ConvBlock` for each convolution.

    Args:
        convolutions: (filters, kernel, stride, padding) of each; a fifth entry, True, adds a pool.
        prefix: Prefix of the blocks' names, which end in their number.
        **shared: Other arguments of `ConvBlock`.
    """
    names = ("filters", "kernel", "stride", "pad", "pool")
    blocks = []
    for i, convolution in enumerate(convolutions):
        arguments: dict[str, Any] = dict(zip(names, convolution, strict=False))
        blocks.append(ConvBlock(**arguments, **shared, name=f"{prefix}{i}"))
    return blocks


class DenseBlock(keras.layers.Layer):
    """Flatten -> dense -> dropout -> batch norm -> ReLU.

    Args:
        units: Units of the dense layer.
        dropout: Dropout rate; 0: no dropout.
        use_bias: Whether the dense layer has a bias.
        kernel_stddev: As in `ConvBlock`.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(
        self,
        units: int,
        dropout: float = 0.0,
        use_bias: bool = False,
        kernel_stddev: float | None = None,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dense = layers.Dense(
            units, use_bias=use_bias, name="dense", **_kernel_initializer(kernel_stddev)
        )
        self.norm = layers.batch_norm(synchronized, "norm")
        self.dropout = dropout

    def build(self, input_shape):
        self.dense.build((None, math.prod(input_shape[1:])))
        self.norm.build((None, self.dense.units))
        self.built = True

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.dense.units)

    def call(self, x, training=False, random=None):
        x = self.dense(flatten(x))
        if self.dropout and training:
            x = dropout(x, self.dropout, random, f"dropout of {self.name}")
        return tf.nn.relu(self.norm(x, training=training))


class FlattenLayerNorm(keras.layers.Layer):
    """Flatten -> layer norm."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.layer_norm("norm")

    def build(self, input_shape):
        self.norm.build((None, math.prod(input_shape[1:])))
        self.built = True

    def compute_output_shape(self, input_shape):
        return (input_shape[0], math.prod(input_shape[1:]))

    def call(self, x, training=False, random=None):
        return self.norm(flatten(x))


class DenseHead(keras.layers.Layer):
    """Dense layer with a bias, for the global feature: of the whole map, or of each location.

    Args:
        units: Units of the dense layer.
        flatten: Whether the input is flattened to one vector per image; if not, the layer acts on
            the last axis.
    """

    def __init__(self, units: int, flatten: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.flatten = flatten
        self.dense = layers.Dense(units, name="dense")

    def build(self, input_shape):
        shape = (None, math.prod(input_shape[1:])) if self.flatten else input_shape
        self.dense.build(shape)
        self.built = True

    def compute_output_shape(self, input_shape):
        leading = input_shape[:1] if self.flatten else input_shape[:-1]
        return (*leading, self.dense.units)

    def call(self, x, training=False, random=None):
        return self.dense(flatten(x) if self.flatten else x)


class StridedCrops(keras.layers.Layer):
    """Cuts images into overlapping square crops (the authors' "unfold").

    Args:
        size: s, the crop's side in pixels.
        stride: Pixels from one crop to the next.
    """

    def __init__(self, size: int, stride: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.stride = stride

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Number of crops in a column and in a row.

        Raises:
            ValueError: The crops do not exactly cover an image of that size.
        """
        size, stride = self.size, self.stride
        if any(side < size or (side - size) % stride for side in (height, width)):
            raise ValueError(
                f"crops of {size}x{size} pixels, {stride} apart, do not cover images of "
                f"{height}x{width}; give sides of {size} and a multiple of {stride}"
            )
        return (height - size) // stride + 1, (width - size) // stride + 1

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        down, across = self.grid(height, width)
        count = None if n is None else n * down * across
        return (count, self.size, self.size, channels)

    def call(self, x, training=False, random=None):
        """[N, H, W, C] -> [N·g·g, s, s, C], each image's crops row by row."""
        size, stride = self.size, self.stride
        patches = tf.image.extract_patches(
            x, [1, size, size, 1], [1, stride, stride, 1], [1, 1, 1, 1], "VALID"
        )
        return tf.reshape(patches, [-1, size, size, x.shape[-1]])


class Fold(keras.layers.Layer):
    """Arranges the features of an image's crops in one map, the inverse of `StridedCrops`.

    Args:
        grid: Number of crops in (a column, a row).
    """

    def __init__(self, grid: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid)

    def compute_output_shape(self, input_shape):
        n = None if input_shape[0] is None else input_shape[0] // math.prod(self.grid)
        return (n, *self.grid, math.prod(input_shape[1:]))

    def call(self, x, training=False, random=None):
        """[N·g·g, h, w, c] -> [N, g, g, h·w·c]."""
        return tf.reshape(x, [-1, *self.grid, math.prod(x.shape[1:])])


def flatten(x):
    """[N, ...] -> [N, F]."""
    return tf.reshape(x, [tf.shape(x)[0], math.prod(x.shape[1:])])


def _kernel_initializer(stddev):
    if stddev is None:
        return {}
    return {"kernel_initializer": keras.initializers.RandomNormal(stddev=stddev)}
