"""The authors' residual networks without padding ("philish" in their code)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.encoders.base import serializable
from keras_models.encoders.blocks import ConvBlock, DenseHead, FlattenLayerNorm
from keras_models.encoders.staged import StagedEncoder
from keras_models.nn import layers


class ResidualBlock(keras.layers.Layer):
    """k x k convolution -> 1x1 convolution, plus a shortcut; ReLU.

    There is no padding and no bias; batch norm follows each convolution, and ReLU the first. The
    shortcut is a convolution of the same kernel and stride with batch norm and ReLU; for 1x1 it is
    the input itself.

    Args:
        filters: Filters of all convolutions.
        kernel: k.
        stride: Stride of the first convolution.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, filters: int, kernel: int, stride: int, synchronized: bool, **kwargs):
        super().__init__(**kwargs)
        self.conv0 = layers.Conv2D(filters, kernel, stride, use_bias=False, name="conv0")
        self.norm0 = layers.batch_norm(synchronized, "norm0")
        self.conv1 = layers.Conv2D(filters, 1, use_bias=False, name="conv1")
        self.norm1 = layers.batch_norm(synchronized, "norm1")
        self.projected = kernel > 1
        if self.projected:
            self.shortcut = layers.Conv2D(filters, kernel, stride, use_bias=False, name="shortcut")
            self.shortcut_norm = layers.batch_norm(synchronized, "shortcut_norm")

    def build(self, input_shape):
        shape = self.conv0.compute_output_shape(input_shape)
        self.conv0.build(input_shape)
        self.norm0.build(shape)
        self.conv1.build(shape)
        self.norm1.build(shape)
        if self.projected:
            self.shortcut.build(input_shape)
            self.shortcut_norm.build(shape)
        self.built = True

    def compute_output_shape(self, input_shape):
        return self.conv0.compute_output_shape(input_shape)

    def call(self, x, training=False, random=None):
        y = tf.nn.relu(self.norm0(self.conv0(x), training=training))
        y = self.norm1(self.conv1(y), training=training)
        if self.projected:
            x = tf.nn.relu(self.shortcut_norm(self.shortcut(x), training=training))
        return tf.nn.relu(x + y)


@serializable
class ResidualNet(StagedEncoder):
    """A convolution 3x3 with bias and ReLU, then residual blocks without padding.

    A block of two 1x1 convolutions follows each block but the last. There is no hidden dense layer,
    so there is no endpoint "fc".

    Args:
        image_shape: (height, width, channels) of an image.
        first_filters: Filters of the first convolution.
        blocks: (filters, kernel, stride) of each block.
        local_layer: Index of the stage that outputs the local map: 0 is the first convolution, then
            each block has two stages.
        conv_layer: Index of the stage that outputs "conv".
        layer_norm: Whether the flattened last map passes a layer norm.
        latent_dim: Units of the global feature.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        first_filters: int,
        blocks: Sequence[Sequence[int]],
        local_layer: int,
        conv_layer: int,
        layer_norm: bool = True,
        latent_dim: int = 64,
        synchronized: bool = False,
        **kwargs,
    ):
        stages: list[keras.layers.Layer] = [
            ConvBlock(first_filters, 3, use_bias=True, norm=False, name="conv0")
        ]
        for i, (filters, kernel, stride) in enumerate(blocks):
            stages.append(ResidualBlock(filters, kernel, stride, synchronized, name=f"block{i}"))
            if i < len(blocks) - 1:
                stages.append(ResidualBlock(filters, 1, 1, synchronized, name=f"block{i}_1x1"))
        if not (0 <= local_layer < len(stages) and 0 <= conv_layer < len(stages)):
            raise ValueError(
                f"local_layer is {local_layer} and conv_layer {conv_layer}; there are "
                f"{len(stages)} convolutional stages, counted from 0"
            )
        if layer_norm:
            stages.append(FlattenLayerNorm(name="norm"))
        stages.append(DenseHead(latent_dim, name="global"))
        endpoints = {"local": local_layer, "conv": conv_layer, "global": len(stages) - 1}
        super().__init__(image_shape, stages, endpoints, latent_dim, synchronized, **kwargs)
        self.first_filters = first_filters
        self.blocks = tuple(tuple(block) for block in blocks)
        self.local_layer = local_layer
        self.conv_layer = conv_layer
        self.layer_norm = layer_norm
        self.latent_dim = latent_dim

    def get_config(self):
        return self.config_of(
            "first_filters", "blocks", "local_layer", "conv_layer", "layer_norm", "latent_dim"
        )
