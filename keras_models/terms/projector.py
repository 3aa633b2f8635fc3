"""The projector between an encoder's feature and a loss of two views."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.encoders.blocks import DenseBlock
from keras_models.nn import layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Projector(keras.layers.Layer):
    """Dense layers with batch norm and ReLU, then a linear one without bias.

    The head of VICReg and Barlow Twins; SimCLR's equation has no batch norm (Chen et al. 2020,
    section 2.1, https://arxiv.org/abs/2002.05709).

    Args:
        hidden_units: Units of each hidden layer.
        units: P, units of the output.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(
        self, hidden_units: Sequence[int], units: int, synchronized: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.units = units
        self.synchronized = synchronized
        self.hidden = [
            DenseBlock(size, synchronized=synchronized, name=f"hidden{i}")
            for i, size in enumerate(self.hidden_units)
        ]
        self.output_layer = layers.Dense(units, use_bias=False, name="projection")

    def build(self, input_shape):
        shape = input_shape
        for layer in self.hidden:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.output_layer.build(shape)
        self.built = True

    def call(self, features, training=False):
        """Features [N, ...] -> float32 [N, P]."""
        x = features
        for layer in self.hidden:
            x = layer(x, training=training)
        return tf.cast(self.output_layer(x), tf.float32)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "units": self.units,
            "synchronized": self.synchronized,
        }
