"""Contrastive predictive coding of an image's crops, row by row."""

import keras
import tensorflow as tf

from keras_models import estimators
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class CPC(EncoderModel):
    """What is seen above predicts the crops below (van den Oord et al. 2018, sections 2 and 3.3).

    The encoder gives a feature z of each of an image's overlapping crops, by itself. A context c of
    row i is made from the rows down to i: a convolution over three neighbours in each row, and a
    gated recurrent unit that goes down each column. From c at (i, j), one linear map for each k
    predicts z at (i + k, j), k = 1, ..., `ahead`; infoNCE picks that z out of the features of all
    images in the rows from k on. The encoder must have no batch norm, through which what is
    predicted would be seen.

    Args:
        encoder: images -> endpoints; "global" is a map [N, R, W, D] of the crops' features.
        units: of the context.
        ahead: the most rows to look ahead, of those that there are; 1 or more.
        seed: of the random numbers drawn in training.

    Raises:
        ValueError: no row to look ahead; when built, the encoder has no feature for each crop.
    """

    def __init__(self, encoder, units: int = 256, ahead: int = 5, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        if ahead < 1:
            raise ValueError(f"ahead={ahead} rows; expected at least 1")
        self.units = units
        self.ahead = ahead
        self.row = keras.layers.Conv2D(
            units, (1, 3), padding="same", kernel_initializer=layers.fan_in_kernel(), name="row"
        )
        self.down = GatedUnit(units, name="down")

    def build_heads(self, shapes):
        shape = shapes["global"]
        if len(shape) != 4 or shape[1:3] != shapes["local"][1:3]:
            raise ValueError(
                f"predicts the features of crops, and {self.encoder.name} has none: take "
                "--encoder=crops32x32 or crops64x64"
            )
        self.row.build(shape)
        self.down.build((None, self.units), (None, self.units))
        self.predictions = []
        for k in range(1, min(self.ahead, shape[1] - 1) + 1):
            prediction = layers.Dense(shape[-1], name=f"prediction{k}")
            prediction.build((None, self.units))
            self.predictions.append(prediction)

    def contexts(self, features) -> tf.Tensor:
        """[N, R, W, D] -> [N, R, W, units]: each row's from the rows down to it."""
        _, rows, width, _ = features.shape
        inputs = tf.nn.relu(self.row(features))
        state = tf.zeros([tf.shape(features)[0] * width, self.units], inputs.dtype)
        states = []
        for i in range(rows):
            state = self.down(tf.reshape(inputs[:, i], [-1, self.units]), state)
            states.append(tf.reshape(state, [-1, width, self.units]))
        return tf.stack(states, axis=1)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        features = self.encoder(batch.images, training=training, random=random)["global"]
        contexts = self.contexts(features)
        losses, accuracies = [], []
        for k, prediction in enumerate(self.predictions, 1):
            predicted = prediction(contexts[:, :-k])
            keys = _flat(features[:, k:])
            rows = tf.shape(keys)[0]
            loss, accuracy = estimators.info_nce_of_vectors(
                _flat(predicted),
                replicas.concat(keys),
                positive=replicas.index() * rows + tf.range(rows),
            )
            losses.append(loss)
            accuracies.append(accuracy)
        count = len(losses)
        metrics = {"prediction_accuracy": tf.add_n(accuracies) / count}
        return Losses(tf.add_n(losses) / count, None, metrics, features)

    def config(self):
        return {"units": self.units, "ahead": self.ahead}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class GatedUnit(keras.layers.Layer):
    """A gated recurrent unit (Cho et al. 2014, eq. 5 to 8): one step.

    Keras' cell has a random seed among its variables, whose name tells how many there were before.

    Args:
        units: of the state.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.gates = layers.Dense(2 * units, name="gates")
        self.candidate = layers.Dense(units, name="candidate")

    def build(self, input_shape, state_shape):
        for layer in (self.gates, self.candidate):
            layer.build((None, input_shape[-1] + state_shape[-1]))
        self.built = True

    def call(self, inputs, state):
        """Inputs [N, F] and state [N, units] -> the next state."""
        gates = tf.sigmoid(self.gates(tf.concat([inputs, state], 1)))
        keep, reset = tf.split(gates, 2, axis=1)
        candidate = tf.tanh(self.candidate(tf.concat([inputs, reset * state], 1)))
        return keep * state + (1 - keep) * candidate

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def _flat(maps):
    """[N, R, W, D] -> float32 [N·R·W, D]."""
    size = maps.shape[-1]
    return tf.reshape(tf.cast(maps, tf.float32), [-1, size])
