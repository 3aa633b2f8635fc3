"""The discriminator D of prior matching: is this a sample of the prior?"""

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
        self.hidden = [
            layers.Dense(units, activation="relu", name=f"hidden{i}")
            for i, units in enumerate(self.hidden_units)
        ]
        self.logit = layers.Dense(1, name="logit")

    def build(self, input_shape):
        shape = input_shape
        for dense in (*self.hidden, self.logit):
            dense.build(shape)
            shape = dense.compute_output_shape(shape)
        self.built = True

    def call(self, features):
        """[N, D] -> float32 [N], the logit of being a sample of the prior."""
        for dense in self.hidden:
            features = dense(features)
        return tf.cast(self.logit(features)[:, 0], tf.float32)

    def get_config(self):
        return {"name": self.name, "hidden_units": self.hidden_units}
