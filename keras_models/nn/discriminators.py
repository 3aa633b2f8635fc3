"""Discriminators D of samples of the prior, of real images, and of pairs of image and code."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.nn import layers

LEAK = 0.2  # the leaky ReLUs' slope


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Discriminator(keras.Model):
    """Dense layers with ReLU and one logit (Hjelm et al. 2019, appendix A: 1000 -> 200 -> 1).

    Args:
        hidden_units: Units of each hidden layer.
    """

    def __init__(self, hidden_units: Sequence[int] = (1000, 200), **kwargs):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.stack = layers.DenseStack(self.hidden_units, 1, name="stack")

    def build(self, input_shape):
        self.stack.build(input_shape)
        self.built = True

    def call(self, features):
        """[N, D] -> float32 [N], logits of being a sample of the prior."""
        return tf.cast(self.stack(features)[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ImageDiscriminator(keras.Model):
    """Real or generated image: strided convolutions with leaky ReLU (slope 0.2) and one logit.

    There is no batch norm, because the gradient penalty is defined per image.

    Args:
        filters: Filters of the 4x4 convolutions of stride 2.
    """

    def __init__(self, filters: Sequence[int] = (64, 128, 256), **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.convs = _convs(self.filters)
        self.logit = layers.Dense(1, name="logit")

    def build(self, input_shape):
        self.logit.build((None, _build_convs(self.convs, input_shape)))
        self.built = True

    def call(self, images):
        """[N, H, W, C] -> float32 [N], logits of being real."""
        return tf.cast(self.logit(_features(self.convs, images))[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "filters": self.filters}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PairDiscriminator(keras.Model):
    """Encoded or generated pair of image and code: the discriminator of BiGAN.

    The convolutions of `ImageDiscriminator`, their flattened output concatenated with the code, a
    dense layer with leaky ReLU (slope 0.2), and one logit. No batch norm, for the same reason.

    Args:
        filters: Filters of the 4x4 convolutions of stride 2.
        hidden_units: Units of the dense layer.
    """

    def __init__(self, filters: Sequence[int] = (64, 128, 256), hidden_units: int = 1024, **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.hidden_units = hidden_units
        self.convs = _convs(self.filters)
        self.hidden = layers.Dense(hidden_units, name="hidden")
        self.logit = layers.Dense(1, name="logit")

    def build(self, input_shape):
        """Builds the layers for (shape of the images, shape of the codes)."""
        images, codes = input_shape
        self.hidden.build((None, _build_convs(self.convs, images) + codes[-1]))
        self.logit.build((None, self.hidden_units))
        self.built = True

    def call(self, pair):
        """(images [N, H, W, C], codes [N, D]) -> float32 [N]."""
        images, codes = pair
        x = _features(self.convs, images)
        x = tf.concat([x, tf.cast(codes, x.dtype)], axis=1)
        x = tf.nn.leaky_relu(self.hidden(x), LEAK)
        return tf.cast(self.logit(x)[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "filters": self.filters, "hidden_units": self.hidden_units}


def _convs(filters):
    return [layers.Conv2D(f, 4, 2, 1, name=f"conv{i}") for i, f in enumerate(filters)]


def _build_convs(convs, input_shape) -> int:
    """Builds the convolutions and returns the size of their flattened output."""
    shape = tuple(input_shape)
    for conv in convs:
        conv.build(shape)
        shape = conv.compute_output_shape(shape)
    return math.prod(shape[1:])


def _features(convs, images):
    """[N, H, W, C] -> [N, F]."""
    x = images
    for conv in convs:
        x = tf.nn.leaky_relu(conv(x), LEAK)
    return tf.reshape(x, [tf.shape(x)[0], math.prod(x.shape[1:])])
