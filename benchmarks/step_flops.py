"""Multiply-adds of a training step: its matrix products and convolutions.

They are counted from the layers' shapes and not from what the program does: unnecessary work is not
counted, so that it lowers the fraction of the peak. Everything else in a step (normalisation,
activations, the optimizer) is not a matrix product and is not counted.

Forward, a convolution takes (output locations · kernel locations · inputs · outputs) multiply-adds
per image, a dense layer (rows · inputs · outputs). Backward, each takes as many for the gradient of
its kernel and for that of its input, except the first convolution, whose inputs are the images.
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
        name: Of the layer.
        forward: Multiply-adds of one image.
        gradients: How many of its two operands have a gradient.
    """

    name: str
    forward: int
    gradients: int = 2

    @property
    def step(self) -> int:
        """Multiply-adds of one image, forward and backward."""
        return self.forward * (1 + self.gradients)


def encoder_products(name: str, latent_dim: int = 64) -> list[Product]:
    """The products of a plain convolutional encoder.

    Raises:
        ValueError: it is of another family.
    """
    preset = encoders.PRESETS[name]
    if preset.family is not ConvNet or not preset.arguments:
        raise ValueError(
            f"{name} is not a plain convolutional encoder of one size; give basic32x32"
        )
    return [product for product, _ in _encoder_layers(preset.arguments, latent_dim)]


def local_map(name: str) -> tuple[int, int]:
    """(L, C): locations and channels of the encoder's local map."""
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


def dot_critic_products(
    batch: int, locations: int, channels: int, latent_dim: int, units: int, layer_norm: bool = True
) -> list[Product]:
    """The products of an encode-and-dot-product critic that scores all pairs of a batch.

    Without layer norm a score is a bilinear form, and each global code is first multiplied by the
    local side's last kernels: there is no U x U product at every location.

    Args:
        batch: N images.
        locations: L, scored locations of the local map.
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
    hidden = Product("local hidden", locations * channels * units)
    if layer_norm:
        return [
            *global_side,
            hidden,
            Product("local out", locations * units * units),
            Product("local shortcut", locations * channels * units),
            Product("scores", batch * locations * units),
        ]
    return [
        *global_side,
        hidden,
        Product("local out by globals", units * units),
        Product("local shortcut by globals", channels * units),
        Product("scores", batch * locations * (units + channels)),
    ]


def floating_point_operations(
    encoder: str,
    units: int,
    batch: int,
    locations: int = 0,
    latent_dim: int = 64,
    layer_norm: bool = True,
    two_views: bool = False,
) -> int:
    """Floating-point operations of one training step on a batch, forward and backward.

    With two views both are encoded, and the critic holds the global feature of each against those
    of the other: it has one location, the global feature.

    Args:
        encoder: a plain convolutional preset.
        units: U.
        batch: N images.
        locations: Scored locations of the local map; 0: all.
        latent_dim: D.
        layer_norm: of the critic.
        two_views: Whether the step is that of flags/cifar10_fast.cfg, not the paper's.
    """
    if two_views:
        products = encoder_products(encoder, latent_dim) + dot_critic_products(
            batch, 1, latent_dim, latent_dim, units, layer_norm
        )
        return 2 * 2 * batch * sum(product.step for product in products)
    all_locations, channels = local_map(encoder)
    products = encoder_products(encoder, latent_dim) + dot_critic_products(
        batch, locations or all_locations, channels, latent_dim, units, layer_norm
    )
    return 2 * batch * sum(product.step for product in products)
