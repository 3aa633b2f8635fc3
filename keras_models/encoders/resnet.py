"""Residual networks of bottleneck blocks."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.encoders.base import serializable
from keras_models.encoders.blocks import ConvBlock, DenseBlock, DenseHead, Fold, StridedCrops
from keras_models.encoders.staged import StagedEncoder
from keras_models.nn import layers

GROWTH = 4


class Bottleneck(keras.layers.Layer):
    """1x1, 3x3 with the stride, 1x1 to four times the filters; plus the input; ReLU.

    Convolutions have no bias; batch norm follows each, and ReLU the first two. If the shape
    changes, the input passes through a 1x1 convolution of that stride and batch norm.

    Args:
        filters: Filters of the first two convolutions.
        stride: Stride of the second.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, filters: int, stride: int, synchronized: bool, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride
        self.convs = [
            layers.Conv2D(filters, 1, use_bias=False, name="conv0"),
            layers.Conv2D(filters, 3, stride, pad=1, use_bias=False, name="conv1"),
            layers.Conv2D(GROWTH * filters, 1, use_bias=False, name="conv2"),
        ]
        self.norms = [layers.batch_norm(synchronized, f"norm{i}") for i in range(3)]
        self.shortcut = layers.Conv2D(GROWTH * filters, 1, stride, use_bias=False, name="shortcut")
        self.shortcut_norm = layers.batch_norm(synchronized, "shortcut_norm")

    def build(self, input_shape):
        shape = input_shape
        for conv, norm in zip(self.convs, self.norms, strict=True):
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
            norm.build(shape)
        self.projected = tuple(shape[1:]) != tuple(input_shape[1:])
        if self.projected:
            self.shortcut.build(input_shape)
            self.shortcut_norm.build(shape)
        self.built = True

    def compute_output_shape(self, input_shape):
        for conv in self.convs:
            input_shape = conv.compute_output_shape(input_shape)
        return input_shape

    def call(self, x, training=False):
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y), training=training)
            y = tf.nn.relu(y) if i < 2 else y
        if self.projected:
            x = self.shortcut_norm(self.shortcut(x), training=training)
        return tf.nn.relu(x + y)


class BottleneckGroup(keras.layers.Layer):
    """Several bottleneck blocks, the first with the stride.

    Args:
        filters: Filters of each block.
        stride: Stride of the first block.
        count: Number of blocks.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, filters: int, stride: int, count: int, synchronized: bool, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [
            Bottleneck(filters, stride if i == 0 else 1, synchronized, name=f"block{i}")
            for i in range(count)
        ]

    def build(self, input_shape):
        for block in self.blocks:
            block.build(input_shape)
            input_shape = block.compute_output_shape(input_shape)
        self.built = True

    def compute_output_shape(self, input_shape):
        for block in self.blocks:
            input_shape = block.compute_output_shape(input_shape)
        return input_shape

    def call(self, x, training=False, random=None):
        for block in self.blocks:
            x = block(x, training=training)
        return x


@serializable
class ResNet(StagedEncoder):
    """A residual network of bottleneck blocks, on the image or on its strided crops.

    Args:
        image_shape: (height, width, channels) of an image.
        groups: (filters, stride of the first block, blocks) of each group.
        local_group: Index of the group that outputs the local map; has no effect with crops.
        crops: (side of a crop, stride from one to the next); the folded map is then both "local"
            and "conv". None: the whole image.
        stem_filters: Filters of the first convolution, 3x3/2.
        dense_units: Units of each hidden dense layer.
        latent_dim: Units of the global feature.
        synchronized: Whether batch norm takes its statistics over all replicas.

    Raises:
        ValueError: `local_group` is not the index of a group, or the crops do not cover the image.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        groups: Sequence[Sequence[int]],
        local_group: int = 1,
        crops: Sequence[int] | None = None,
        stem_filters: int = 64,
        dense_units: Sequence[int] = (1024,),
        latent_dim: int = 64,
        synchronized: bool = False,
        **kwargs,
    ):
        if not 0 <= local_group < len(groups):
            raise ValueError(
                f"local_group is {local_group}; there are {len(groups)} groups, counted from 0"
            )
        crop = [StridedCrops(*crops, name="crops")] if crops else []
        stem = ConvBlock(stem_filters, 3, 2, 1, synchronized=synchronized, name="stem")
        body = [
            BottleneckGroup(filters, stride, count, synchronized, name=f"group{i}")
            for i, (filters, stride, count) in enumerate(groups)
        ]
        fold = [Fold(crop[0].grid(*image_shape[:2]), name="fold")] if crop else []
        hidden = [
            DenseBlock(units, synchronized=synchronized, name=f"fc{i}")
            for i, units in enumerate(dense_units)
        ]
        stages = [*crop, stem, *body, *fold, *hidden, DenseHead(latent_dim, name="global")]
        last_map = len(crop) + len(body) + len(fold)
        endpoints = {"local": last_map if crop else 1 + local_group, "conv": last_map}
        if hidden:
            endpoints["fc"] = len(stages) - 2
        endpoints["global"] = len(stages) - 1
        super().__init__(image_shape, stages, endpoints, latent_dim, synchronized, **kwargs)
        self.groups = tuple(tuple(group) for group in groups)
        self.local_group = local_group
        self.crops = tuple(crops) if crops else None
        self.stem_filters = stem_filters
        self.dense_units = tuple(dense_units)
        self.latent_dim = latent_dim

    def get_config(self):
        return self.config_of(
            "groups", "local_group", "crops", "stem_filters", "dense_units", "latent_dim"
        )
