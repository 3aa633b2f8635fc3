"""Discriminators D: is this a sample of the prior, is this a real image?"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Discriminator(keras.Model):
    """Dense layers with ReLU and one logit (Hjelm et al. 2019, appendix A: 1000 -> 200 -> 1).

    Args:
        hidden_units: units of each hidden layer.
    """

    def __init__(self, hidden_units: Sequence[int] = (1000, 200), **kwargs):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.stack = layers.DenseStack(self.hidden_units, 1, name="stack")

    def build(self, input_shape):
        self.stack.build(input_shape)
        self.built = True

    def call(self, features):
        """[N, D] -> float32 [N], the logit of being a sample of the prior."""
        return tf.cast(self.stack(features)[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class ImageDiscriminator(keras.Model):
    """Is this a real image? Strided convolutions with leaky ReLU (slope 0.2) and one logit.

    No batch norm: the gradient penalty is of each image alone.

    Args:
        filters: of the 4x4 convolutions of stride 2.
    """

    def __init__(self, filters: Sequence[int] = (64, 128, 256), **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.convs = [
            layers.Conv2D(f, 4, 2, 1, name=f"conv{i}") for i, f in enumerate(self.filters)
        ]
        self.logit = layers.Dense(1, name="logit")

    def build(self, input_shape):
        shape = tuple(input_shape)
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        self.logit.build((None, math.prod(shape[1:])))
        self.built = True

    def call(self, images):
        """[N, H, W, C] -> float32 [N], the logit of being real."""
        x = images
        for conv in self.convs:
            x = tf.nn.leaky_relu(conv(x), 0.2)
        x = tf.reshape(x, [tf.shape(x)[0], math.prod(x.shape[1:])])
        return tf.cast(self.logit(x)[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "filters": self.filters}
