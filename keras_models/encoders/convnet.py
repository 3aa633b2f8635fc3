"""Plain convolutional encoders: convolutions, dense layers, a linear global feature."""

from collections.abc import Sequence

import keras

from keras_models.encoders.base import serializable
from keras_models.encoders.blocks import DenseBlock, DenseHead, conv_blocks
from keras_models.encoders.staged import StagedEncoder

SMALLEST_MAP = 4


@serializable
class ConvNet(StagedEncoder):
    """Convolutions and dense layers (Hjelm et al. 2019, section 3 and Table 1; AlexNet).

    Each convolution, and each dense layer except the last, has no bias and is followed by batch
    norm and ReLU; the global feature is a linear map of the last hidden layer.

    Args:
        image_shape: (height, width, channels) of an image.
        convolutions: (filters, kernel, stride, padding) of each convolution; a fifth entry, True,
            adds a max pool 3x3/2.
        dense_units: Units of each hidden dense layer.
        local_layer: Index of the convolution that outputs the local map.
        latent_dim: Units of the global feature.
        synchronized: Whether batch norm takes its statistics over all replicas.

    Raises:
        ValueError: `local_layer` is not the index of a convolution.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        convolutions: Sequence[Sequence[int]],
        dense_units: Sequence[int],
        local_layer: int,
        latent_dim: int = 64,
        synchronized: bool = False,
        **kwargs,
    ):
        if not 0 <= local_layer < len(convolutions):
            raise ValueError(
                f"local_layer is {local_layer}; there are {len(convolutions)} convolutions, "
                "counted from 0"
            )
        stages: list[keras.layers.Layer] = [
            *conv_blocks(convolutions, "conv", synchronized=synchronized)
        ]
        stages += [
            DenseBlock(units, synchronized=synchronized, name=f"fc{i}")
            for i, units in enumerate(dense_units)
        ]
        stages.append(DenseHead(latent_dim, name="global"))
        endpoints = {"local": local_layer, "conv": len(convolutions) - 1}
        if dense_units:
            endpoints["fc"] = len(stages) - 2
        endpoints["global"] = len(stages) - 1
        super().__init__(image_shape, stages, endpoints, latent_dim, synchronized, **kwargs)
        self.convolutions = tuple(tuple(convolution) for convolution in convolutions)
        self.dense_units = tuple(dense_units)
        self.local_layer = local_layer
        self.latent_dim = latent_dim

    def get_config(self):
        return self.config_of("convolutions", "dense_units", "local_layer", "latent_dim")


def for_any_size(image_shape: Sequence[int]) -> dict:
    """Arguments of a `ConvNet` for images of any size; continues basic32x32 and basic64x64.

    Convolutions 4x4/2 with padding 1 and 64, 128, 256, 512, 512, ... filters, as long as the
    shorter side stays at least 4; the local map is the output of the second to last one.

    Args:
        image_shape: (height, width, channels).

    Raises:
        ValueError: There are fewer than 16 pixels a side, too few for two convolutions.
    """
    side = min(image_shape[:2])
    convolutions: list[tuple[int, ...]] = []
    while side // 2 >= SMALLEST_MAP:
        convolutions.append((min(64 * 2 ** len(convolutions), 512), 4, 2, 1))
        side //= 2
    if len(convolutions) < 2:
        raise ValueError(
            f"images of {image_shape[0]}x{image_shape[1]} pixels are too small; give at least "
            f"{4 * SMALLEST_MAP} a side"
        )
    return {
        "image_shape": tuple(image_shape),
        "convolutions": tuple(convolutions),
        "dense_units": (1024,),
        "local_layer": len(convolutions) - 2,
    }
