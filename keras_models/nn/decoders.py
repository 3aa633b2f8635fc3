"""Decoders: from a vector to an image."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.nn import kernels, layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Transposed convolution that doubles height and width: 4x4, stride 2, padding 1.

    Kernel and bias are uniform in ±1/√(4·4·filters), PyTorch's default for this layer.
    """

    def __init__(self, filters: int, **kwargs):
        for fixed in ("kernel_size", "strides", "padding"):
            kwargs.pop(fixed, None)  # from get_config; always the same
        limit = (4 * 4 * filters) ** -0.5
        kwargs["kernel_initializer"] = keras.initializers.RandomUniform(-limit, limit)
        kwargs["bias_initializer"] = keras.initializers.RandomUniform(-limit, limit)
        super().__init__(filters, 4, strides=2, padding="same", **kwargs)

    def call(self, inputs):
        if not kernels.has_faster_gradient(self, inputs.shape[1:3]):
            return super().call(inputs)
        outputs = kernels.conv2d_transpose(inputs, tf.cast(self.kernel, self.compute_dtype))
        if self.use_bias:
            outputs += tf.cast(self.bias, self.compute_dtype)
        return self.activation(outputs)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Decoder(keras.Model):
    """The authors' decoder: a dense layer, transposed convolutions, a convolution, tanh.

    Batch norm and ReLU follow all layers but the last. The default, from 64 numbers to 32x32 images
    with 3 channels, has 3,296,256 parameters.

    Args:
        image_shape: (height, width, channels); each side is divisible by 2 once per transposed
            convolution.
        latent_dim: D, units of a code.
        filters: Filters of the dense layer's map and of each transposed convolution, which doubles
            the sides of the map.
        synchronized: Whether batch norm takes its statistics over all replicas.

    Raises:
        ValueError: These sides cannot be reached by doubling.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int = 64,
        filters: Sequence[int] = (512, 256, 128, 64),
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.filters = tuple(filters)
        self.synchronized = synchronized
        grow = 2 ** (len(self.filters) - 1)
        height, width, channels = self.image_shape
        if height % grow or width % grow:
            raise ValueError(
                f"{len(self.filters) - 1} transposed convolutions make sides that are multiples of "
                f"{grow}, not {height}x{width}; give other filters"
            )
        self.start = (height // grow, width // grow, self.filters[0])
        self.dense = layers.Dense(math.prod(self.start), use_bias=False, name="dense")
        self.dense_norm = layers.batch_norm(synchronized, "dense_norm")
        self.convs = [Conv2DTranspose(f, name=f"conv{i}") for i, f in enumerate(self.filters[1:])]
        self.conv_norms = [
            layers.batch_norm(synchronized, f"conv{i}_norm") for i in range(len(self.convs))
        ]
        self.to_image = layers.Conv2D(channels, 3, pad=1, use_bias=False, name="image")

    def build(self, input_shape=None):
        self.dense.build((None, self.latent_dim))
        self.dense_norm.build((None, math.prod(self.start)))
        shape = (None, *self.start)
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            norm.build(shape)
        self.to_image.build(shape)
        self.built = True

    def call(self, codes, training=False):
        """[N, D] -> images [N, height, width, channels] in [-1, 1]."""
        x = tf.nn.relu(self.dense_norm(self.dense(codes), training=training))
        x = tf.reshape(x, [-1, *self.start])
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            x = tf.nn.relu(norm(conv(x), training=training))
        return tf.tanh(tf.cast(self.to_image(x), tf.float32))

    def get_config(self):
        return {
            "name": self.name,
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "filters": self.filters,
            "synchronized": self.synchronized,
        }


def filters_for(image_shape: Sequence[int]) -> tuple[int, ...]:
    """The filters with which `Decoder` outputs images of this shape, from a map of at least 4x4.

    Raises:
        ValueError: These sides cannot be reached by doubling a map of 4 to 7 pixels a side.
    """
    height, width = image_shape[:2]
    doublings = 0
    while min(height, width) >= 8:
        if height % 2 or width % 2:
            raise ValueError(
                f"images of {image_shape[0]}x{image_shape[1]} cannot be made by doubling a map of "
                "4 to 7 pixels a side; give an --image_size such as 28, 32, 48, 64"
            )
        height, width, doublings = height // 2, width // 2, doublings + 1
    return tuple(64 * 2**i for i in reversed(range(doublings + 1)))
