"""How many multiply-adds a training step needs: its matrix products and convolutions.

Counted from the layers' shapes, not from what the program does: work that could be left out is not
counted, so that doing it lowers the fraction of the peak. Everything else in a step (normalisation,
activations, the optimizer) is no matrix product and counts as nothing.

Forward, a convolution takes (output places · kernel places · inputs · outputs) multiply-adds an
image, a dense layer (rows · inputs · outputs). Backward, each takes that again for its kernel's
gradient and again for its input's, but for the first convolution, whose input are the images.
A multiply-add is two floating-point operations.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from keras_models import encoders
from keras_models.encoders.blocks import POOL, POOL_STRIDE
from keras_models.encoders.convnet import ConvNet


class Product(NamedTuple):
    """A matrix product or convolution of the forward pass.

    Attributes:
        name: of the layer.
        forward: multiply-adds of one image.
        gradients: how many of its two operands have a gradient.
    """

    name: str
    forward: int
    gradients: int = 2

    @property
    def step(self) -> int:
        """Multiply-adds of one image, forward and backward."""
        return self.forward * (1 + self.gradients)


def of_encoder(name: str, latent_dim: int = 64) -> list[Product]:
    """The products of a plain convolutional encoder.

    Raises:
        ValueError: it is of another family.
    """
    preset = encoders.PRESETS[name]
    if preset.family is not ConvNet or not preset.arguments:
        raise ValueError(f"{name} is no plain convolutional encoder of one size; give basic32x32")
    return [product for product, _ in _encoder_layers(preset.arguments, latent_dim)]


def local_map(name: str) -> tuple[int, int]:
    """(L, C): places and channels of the encoder's local map."""
    arguments = encoders.PRESETS[name].arguments
    _, shape = list(_encoder_layers(arguments, 0))[arguments["local_layer"]]
    return shape[0] * shape[1], shape[2]


def _encoder_layers(arguments, latent_dim) -> Iterator[tuple[Product, tuple[int, ...]]]:
    """Each layer's product, and the shape of its output after pooling."""
    shape = arguments["image_shape"]
    for i, (filters, kernel, stride, pad, *pool) in enumerate(arguments["convolutions"]):
        height, width = ((side + 2 * pad - kernel) // stride + 1 for side in shape[:2])
        products = height * width * kernel**2 * shape[2] * filters
        if pool and pool[0]:
            height, width = ((side - POOL) // POOL_STRIDE + 1 for side in (height, width))
        shape = (height, width, filters)
        yield Product(f"conv{i}", products, gradients=2 if i else 1), shape
    for i, units in enumerate((*arguments["dense_units"], latent_dim)):
        products = math.prod(shape) * units
        shape = (units,)
        yield Product(f"dense{i}", products), shape


def of_dot_critic(
    batch: int, places: int, channels: int, latent_dim: int, units: int, layer_norm: bool = True
) -> list[Product]:
    """The products of an encode-and-dot-product critic that scores all pairs of a batch.

    Without layer norm a score is a bilinear form, and each global code is multiplied by the local
    side's last kernels first: no U x U product at every place.

    Args:
        batch: N images.
        places: L, of the local map that are scored.
        channels: C, of the local map.
        latent_dim: D, of the global feature.
        units: U.
        layer_norm: whether the codes pass a layer norm.
    """
    global_side = [
        Product("global hidden", latent_dim * units),
        Product("global out", units * units),
        Product("global shortcut", latent_dim * units),
    ]
    hidden = Product("local hidden", places * channels * units)
    if layer_norm:
        return [
            *global_side,
            hidden,
            Product("local out", places * units * units),
            Product("local shortcut", places * channels * units),
            Product("scores", batch * places * units),
        ]
    return [
        *global_side,
        hidden,
        Product("local out by globals", units * units),
        Product("local shortcut by globals", channels * units),
        Product("scores", batch * places * (units + channels)),
    ]


def of_step(
    encoder: str,
    units: int,
    batch: int,
    locations: int = 0,
    latent_dim: int = 64,
    layer_norm: bool = True,
) -> int:
    """Floating-point operations of one training step on a batch, forward and backward.

    Args:
        encoder: a plain convolutional preset.
        units: U.
        batch: N images.
        locations: how many places of the local map are scored; 0: all.
        latent_dim: D.
        layer_norm: of the critic.
    """
    places, channels = local_map(encoder)
    products = of_encoder(encoder, latent_dim) + of_dot_critic(
        batch, locations or places, channels, latent_dim, units, layer_norm
    )
    return 2 * batch * sum(product.step for product in products)
