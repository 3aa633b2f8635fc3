"""Flows: invertible encoders, whose latent is a feature with as many numbers as the image.

NICE (Dinh et al. 2015, https://arxiv.org/abs/1410.8516) and RealNVP (Dinh et al. 2017,
https://arxiv.org/abs/1605.08803). By the change of variables (their eq. 3), the density of u is
p(z)·|det ∂z/∂u|. Every layer has a triangular Jacobian, whose determinant is a product.
"""

import abc
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_models.encoders.base import Encoder, serializable
from keras_models.nn import layers

LEVELS = 256  # of a pixel
BLOCK = 4  # pixels a side of a location of the local map
LOGIT_MARGIN = 0.05  # RealNVP's α (section 4.1), but at both ends


class Flow(Encoder):
    """An invertible encoder z = f(u) of dequantised images u in [0, 1].

    Endpoints: "global", the latent z with all its H·W·C numbers; and "local", the same numbers in
        blocks of 4x4 pixels, [N, H/4, W/4, 16·C]. Images without noise are encoded from the middle
        of the interval that dequantisation fills. No layer mixes the images of a batch, so training
        and inference are the same map. The networks compute in the policy's precision; the
        transformed numbers stay float32.

    Args:
        image_shape: (height, width, channels) of an image; sides are multiples of 4.

    Raises:
        ValueError: A side is not a multiple of 4.
    """

    def __init__(self, image_shape: Sequence[int], synchronized: bool = False, **kwargs):
        super().__init__(  # images stay float32
            image_shape, math.prod(image_shape), synchronized, autocast=False, **kwargs
        )
        height, width, _ = self.image_shape
        if height % BLOCK or width % BLOCK:
            raise ValueError(
                f"a flow takes images whose sides are multiples of {BLOCK}, not {height}x{width}; "
                "give another image size"
            )

    @abc.abstractmethod
    def transform(self, unit_images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The latent, and the logarithm of the determinant of its Jacobian.

        Args:
            unit_images: u, float32 [N, H, W, C] in [0, 1].

        Returns:
            z, float32 [N, H/4, W/4, 16·C], and log |det ∂z/∂u| of each image, [N].
        """

    @abc.abstractmethod
    def inverse(self, latents: tf.Tensor) -> tf.Tensor:
        """u, float32 [N, H, W, C]: the images of the latents that `transform` returns."""

    @property
    def endpoint_names(self):
        return ("local", "global")

    def encode(self, images, training, random):
        latents, _ = self.transform(dequantised(images, 0.5))
        flat = tf.reshape(latents, [tf.shape(latents)[0], self.global_dim])
        return {"local": latents, "global": flat}

    def freeze_above(self, endpoint):
        """Nothing is above an endpoint: each is the whole latent."""

    def get_config(self):
        return {
            "name": self.name,
            "image_shape": self.image_shape,
            "synchronized": self.synchronized,
        }


def dequantised(images: tf.Tensor, noise: tf.Tensor | float) -> tf.Tensor:
    """Images in [-1, 1] with 256 levels -> (level + noise)/256 in [0, 1], for noise in [0, 1)."""
    levels = (tf.cast(images, tf.float32) + 1.0) * ((LEVELS - 1) / 2)
    return (levels + noise) / LEVELS


@serializable
class NICE(Flow):
    """Additive couplings and a diagonal scaling (Dinh et al. 2015, sections 3 and 5.1).

    The image, scaled to [-1, 1], is a vector. Each coupling keeps the numbers at odd or even
    positions, alternately, and adds a network of them to the others; z is the result times exp(s).
    The paper's networks for CIFAR-10 have 4 hidden layers of 2000 units, which take 4.5 times as
    many multiplications, and its images are whitened.

    Args:
        image_shape: (height, width, channels) of an image.
        couplings: Number of couplings, 4 in the paper. Fewer train faster; with fewer than 3 some
            number does not depend on all others (section 3.2).
        hidden_units: Units of each hidden layer of a coupling's network, with ReLU.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        couplings: int = 4,
        hidden_units: Sequence[int] = (1000, 1000),
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(image_shape, synchronized, **kwargs)
        self.couplings = couplings
        self.hidden_units = tuple(hidden_units)
        self.networks = [
            _network(self.hidden_units, self.global_dim // 2, f"coupling{i}")
            for i in range(couplings)
        ]

    def build(self, input_shape=None):
        for network in self.networks:
            shape: tuple[int | None, ...] = (None, self.global_dim // 2)
            for layer in network:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
        self.log_scale = self.add_weight(
            shape=(self.global_dim,), initializer="zeros", autocast=False, name="log_scale"
        )
        self.built = True

    def transform(self, unit_images):
        x = tf.reshape(2.0 * unit_images - 1.0, [-1, self.global_dim // 2, 2])
        parts = [x[..., 0], x[..., 1]]
        for i, network in enumerate(self.networks):
            parts[i % 2] += _run(network, parts[1 - i % 2])
        z = tf.reshape(tf.stack(parts, axis=-1), [-1, self.global_dim])
        log_scale = tf.cast(self.log_scale, tf.float32)
        z *= tf.exp(log_scale)
        log_determinant = tf.reduce_sum(log_scale) + self.global_dim * math.log(2.0)
        blocks = tf.nn.space_to_depth(tf.reshape(z, [-1, *self.image_shape]), BLOCK)
        return blocks, tf.fill([tf.shape(z)[0]], log_determinant)

    def inverse(self, latents):
        z = tf.reshape(tf.nn.depth_to_space(latents, BLOCK), [-1, self.global_dim])
        z *= tf.exp(-tf.cast(self.log_scale, tf.float32))
        parts = tf.unstack(tf.reshape(z, [-1, self.global_dim // 2, 2]), axis=-1)
        for i in reversed(range(self.couplings)):
            parts[i % 2] -= _run(self.networks[i], parts[1 - i % 2])
        x = tf.reshape(tf.stack(parts, axis=-1), [-1, *self.image_shape])
        return (x + 1.0) / 2.0

    def get_config(self):
        config = super().get_config()
        return {**config, "couplings": self.couplings, "hidden_units": self.hidden_units}


@serializable
class RealNVP(Flow):
    """Affine couplings of masked maps at three scales (Dinh et al. 2017, sections 3 and 4.1).

    u becomes logit(α + (1 - 2α)·u), α = 0.05, which is finite for all u in [0, 1]; the paper's
    α + (1 - α)·u is not at 1. Each scale but the last has three couplings with checkerboard masks,
    moves 2x2 pixels into channels, has three couplings with masks of half the channels, and outputs
    half of the channels as latents. The last scale has four couplings with checkerboard masks.

    There are three scales; the paper has two for CIFAR-10 (section 4.1). Networks are residual, as
    in the paper, but smaller: one block and 8 filters, doubled at each scale, where the paper has 8
    blocks of 64 for CIFAR-10. There is no batch norm, no weight norm, and so no L2 penalty on the
    latter's scales.

    Args:
        image_shape: (height, width, channels) of an image.
        filters: Filters of the networks at the first scale.
        couplings: Couplings of one kind of mask at a scale, 3 in the paper; the last scale has one
            more. Fewer train faster, and the density fits less well. With 1, half of the numbers of
            each scale but the last pass its couplings of that mask unchanged.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        filters: int = 8,
        synchronized: bool = False,
        couplings: int = 3,
        **kwargs,
    ):
        super().__init__(image_shape, synchronized, **kwargs)
        self.filters = filters
        self.couplings = couplings
        height, width, channels = self.image_shape
        self.scales: list[list[AffineCoupling]] = []  # checkerboards and channels, alternately
        for scale in range(2):
            name = f"scale{scale}"
            self.scales.append(
                [
                    AffineCoupling(
                        (height, width, channels), False, i % 2, filters, name=f"{name}_pixels{i}"
                    )
                    for i in range(couplings)
                ]
            )
            height, width, channels, filters = height // 2, width // 2, channels * 4, filters * 2
            self.scales.append(
                [
                    AffineCoupling(
                        (height, width, channels), True, i % 2, filters, name=f"{name}_channels{i}"
                    )
                    for i in range(couplings)
                ]
            )
            channels //= 2
        self.scales.append(
            [
                AffineCoupling((height, width, channels), False, i % 2, filters, name=f"last{i}")
                for i in range(couplings + 1)
            ]
        )

    def build(self, input_shape=None):
        for coupling in (coupling for scale in self.scales for coupling in scale):
            coupling.build((None, *coupling.shape))
        self.built = True

    def transform(self, unit_images):
        y = LOGIT_MARGIN + (1 - 2 * LOGIT_MARGIN) * unit_images
        log_y, log_rest = tf.math.log(y), tf.math.log(1.0 - y)
        x = log_y - log_rest
        log_determinant = -tf.reduce_sum(log_y + log_rest, [1, 2, 3])
        log_determinant += self.global_dim * math.log(1 - 2 * LOGIT_MARGIN)
        latents = []
        for i, couplings in enumerate(self.scales):
            if i % 2:
                x = tf.nn.space_to_depth(x, 2)
            for coupling in couplings:
                x, scale = coupling(x)
                log_determinant += scale
            if i % 2:
                out, x = tf.split(x, 2, axis=-1)
                latents.append(out)
        latents = [tf.nn.space_to_depth(latents[0], 2), latents[1], x]
        return tf.concat(latents, axis=-1), log_determinant

    def inverse(self, latents):
        channels = self.image_shape[-1]
        first, second, x = tf.split(latents, [8 * channels, 4 * channels, 4 * channels], axis=-1)
        outs = [tf.nn.depth_to_space(first, 2), second]
        for i, couplings in reversed(list(enumerate(self.scales))):
            if i % 2:
                x = tf.concat([outs.pop(), x], axis=-1)
            for coupling in reversed(couplings):
                x = coupling.inverse(x)
            if i % 2:
                x = tf.nn.depth_to_space(x, 2)
        y = tf.sigmoid(x)
        return (y - LOGIT_MARGIN) / (1 - 2 * LOGIT_MARGIN)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "couplings": self.couplings}


class AffineCoupling(keras.layers.Layer):
    """y = b·x + (1 - b)·(x·exp(s(b·x)) + t(b·x)) (Dinh et al. 2017, eq. 9).

    s is a tanh times a learned scale per channel; initially s = t = 0.

    Args:
        shape: (height, width, channels) of the maps.
        by_channels: Whether the mask b is 1 for half of the channels. If not, it is 1 for the
            fields of one colour of a checkerboard.
        flipped: Whether b is 1 for the other half.
        filters: Filters of the network of s and t.
    """

    def __init__(
        self, shape: Sequence[int], by_channels: bool, flipped: int, filters: int, **kwargs
    ):
        super().__init__(autocast=False, **kwargs)  # what is transformed stays float32
        self.shape = tuple(shape)
        height, width, channels = self.shape
        rows, columns, numbers = np.ogrid[:height, :width, :channels]
        half = numbers < channels // 2 if by_channels else (rows + columns) % 2 == 0
        self.kept = np.broadcast_to(half != bool(flipped), self.shape).astype(np.float32)
        self.convs = [layers.Conv2D(filters, 3, pad=1, name=f"conv{i}") for i in range(3)]
        self.output_conv = layers.Conv2D(
            2 * channels, 1, kernel_initializer="zeros", use_bias=False, name="output"
        )

    def build(self, input_shape):
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.output_conv.build(shape)
        channels = self.shape[-1]
        self.scale = self.add_weight(
            shape=(channels,), initializer="ones", autocast=False, name="scale"
        )
        self.shift = self.add_weight(
            shape=(channels,), initializer="zeros", autocast=False, name="shift"
        )
        self.built = True

    def call(self, x):
        """[N, H, W, C] -> y, and the logarithm of the Jacobian's determinant, [N]."""
        log_scale, shift = self._parameters(x)
        return x * tf.exp(log_scale) + shift, tf.reduce_sum(log_scale, [1, 2, 3])

    def inverse(self, y):
        log_scale, shift = self._parameters(y)
        return (y - shift) * tf.exp(-log_scale)

    def _parameters(self, x):
        """(1 - b)·s and (1 - b)·t, which depend only on b·x."""
        kept = tf.constant(self.kept)
        maps = self.convs[0](x * kept)
        maps += self.convs[2](tf.nn.relu(self.convs[1](tf.nn.relu(maps))))
        raw, shift = tf.split(tf.cast(self.output_conv(tf.nn.relu(maps)), tf.float32), 2, axis=-1)
        scale, offset = (tf.cast(v, tf.float32) for v in (self.scale, self.shift))
        return (1 - kept) * scale * tf.tanh(raw), (1 - kept) * (shift + offset)


def _network(hidden_units, outputs, name) -> list[keras.layers.Layer]:
    """Dense layers with ReLU, then one without, which is initially 0."""
    hidden = [
        layers.Dense(units, activation="relu", name=f"{name}_hidden{i}")
        for i, units in enumerate(hidden_units)
    ]
    return [*hidden, layers.Dense(outputs, "zeros", use_bias=False, name=f"{name}_output")]


def _run(network, x):
    for layer in network:
        x = layer(x)
    return tf.cast(x, tf.float32)
