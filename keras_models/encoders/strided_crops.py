"""Encoders that map an image's crops separately and fold their features into one map."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_models.encoders.base import serializable
from keras_models.encoders.blocks import (
    DenseBlock,
    DenseHead,
    Fold,
    StridedCrops,
    conv_blocks,
)
from keras_models.encoders.staged import StagedEncoder


@serializable
class StridedCropsNet(StagedEncoder):
    """Convolutions on strided crops, whose outputs are folded into the local map; layers on that.

    Args:
        image_shape: (height, width, channels) of an image.
        crops: (side of a crop, stride from one to the next) in pixels.
        convolutions: Convolutions on each crop: (filters, kernel, stride, padding), and True to add
            a max pool.
        top_convolutions: Convolutions on the folded map, in the same form.
        dense_units: Units of each hidden dense layer.
        latent_dim: Units of the global feature; 0: each location of the last map is a global.
        crop_dim: Units of one global per crop, which is a linear map of the crop's features and
            replaces the layers on the folded map; 0: none.
        dropout: Dropout rate after the fold, of convolutions (whole channels) and dense layers.
        use_bias: Whether the crops' convolutions and the dense layers have biases.
        norm: Whether batch norm follows the convolutions.
        kernel_stddev: Standard deviation of the normal initialisation of all layers but the global
            one; None: uniform.
        synchronized: Whether batch norm takes its statistics over all replicas.

    Raises:
        ValueError: The crops do not cover the image; `latent_dim` is given without dense layers,
            dense layers without `latent_dim`, or `crop_dim` with either.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        crops: Sequence[int],
        convolutions: Sequence[Sequence[int]],
        top_convolutions: Sequence[Sequence[int]],
        dense_units: Sequence[int] = (),
        latent_dim: int = 64,
        crop_dim: int = 0,
        dropout: float = 0.0,
        use_bias: bool = False,
        norm: bool = True,
        kernel_stddev: float | None = None,
        synchronized: bool = False,
        **kwargs,
    ):
        if crop_dim and (top_convolutions or dense_units or latent_dim):
            raise ValueError(
                f"crop_dim is {crop_dim}, which makes a global of each crop; give latent_dim=0 and "
                "no top_convolutions or dense_units"
            )
        if not crop_dim and not dense_units and (latent_dim or not top_convolutions):
            raise ValueError(
                f"latent_dim is {latent_dim}; without dense layers the globals are locations of "
                "the last of the top convolutions, whose filters are their size: give latent_dim=0"
            )
        if dense_units and not latent_dim:
            raise ValueError(
                "latent_dim is 0, which makes the last map the globals; leave dense_units out"
            )
        crop = StridedCrops(*crops, name="crops")
        shared: dict[str, Any] = {"kernel_stddev": kernel_stddev, "synchronized": synchronized}
        on_crops = conv_blocks(convolutions, "conv", use_bias=use_bias, norm=norm, **shared)
        fold = Fold(crop.grid(*image_shape[:2]), name="fold")
        on_map = conv_blocks(top_convolutions, "top_conv", dropout=dropout, norm=norm, **shared)
        hidden = [
            DenseBlock(units, dropout, use_bias, name=f"fc{i}", **shared)
            for i, units in enumerate(dense_units)
        ]
        last: list[keras.layers.Layer] = []
        if latent_dim or crop_dim:
            units = latent_dim or crop_dim
            last = [DenseHead(units, flatten=bool(latent_dim), name="global")]
        stages = [crop, *on_crops, fold, *on_map, *hidden, *last]
        folded = len(on_crops) + 1
        endpoints = {"local": folded, "conv": folded}
        if hidden:
            endpoints["fc"] = folded + len(on_map) + len(hidden)
        endpoints["global"] = len(stages) - 1
        global_dim = latent_dim or crop_dim or top_convolutions[-1][0]
        super().__init__(image_shape, stages, endpoints, global_dim, synchronized, **kwargs)
        self.crops = tuple(crops)
        self.convolutions = tuple(tuple(convolution) for convolution in convolutions)
        self.top_convolutions = tuple(tuple(convolution) for convolution in top_convolutions)
        self.dense_units = tuple(dense_units)
        self.latent_dim = latent_dim
        self.crop_dim = crop_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.norm = norm
        self.kernel_stddev = kernel_stddev

    def get_config(self):
        return self.config_of(
            "crops",
            "convolutions",
            "top_convolutions",
            "dense_units",
            "latent_dim",
            "crop_dim",
            "dropout",
            "use_bias",
            "norm",
            "kernel_stddev",
        )
