"""Contrastive predictive coding (CPC) on an image's crops, row by row."""

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
    """Upper rows of crops predict lower ones (van den Oord et al. 2018, sections 2 and 3.3).

    https://arxiv.org/abs/1807.03748

    The encoder maps each of an image's overlapping crops to a feature z, independently. The context
    c of row i sees rows 0 to i: a convolution over three neighbours in each row, then a gated
    recurrent unit (Cho et al. 2014, eq. 5 to 8) down each column. From c at (i, j), one linear map
    for each k = 1, ..., `ahead` predicts z at (i + k, j); infoNCE picks that z out of the features
    of all images in the rows from k on. The encoder must have no batch norm, which would leak the
    predicted features.

    Args:
        encoder: Images -> endpoints; "global" is a map [N, R, W, D] of the crops' features.
        units: Units of the context.
        ahead: The largest number of rows to predict ahead, at least 1; at most R - 1 are used.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: `ahead` is less than 1; when built, the encoder has no feature for each crop.
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
        self.down = _gru_cell(units, "down")

    def build_heads(self, shapes):
        shape = shapes["global"]
        if len(shape) != 4 or shape[1:3] != shapes["local"][1:3]:
            raise ValueError(
                f"predicts the features of crops, and {self.encoder.name} has none: take "
                "--encoder=crops32x32 or crops64x64"
            )
        self.row.build(shape)
        self.down.build((None, self.units))
        self.predictions = []
        for k in range(1, min(self.ahead, shape[1] - 1) + 1):
            prediction = layers.Dense(shape[-1], name=f"prediction{k}")
            prediction.build((None, self.units))
            self.predictions.append(prediction)

    def contexts(self, features) -> tf.Tensor:
        """Features [N, R, W, D] -> contexts [N, R, W, units]; row i sees rows 0 to i."""
        _, rows, width, _ = features.shape
        inputs = tf.nn.relu(self.row(features))
        state = tf.zeros([tf.shape(features)[0] * width, self.units], inputs.dtype)
        states = []
        for i in range(rows):
            state, _ = self.down(tf.reshape(inputs[:, i], [-1, self.units]), state)
            states.append(tf.reshape(state, [-1, width, self.units]))
        return tf.stack(states, axis=1)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        features = self.encoder(batch.images, training=training, random=random)["global"]
        contexts = self.contexts(features)
        losses, accuracies = [], []
        for k, prediction in enumerate(self.predictions, 1):
            predicted = prediction(contexts[:, :-k])
            keys = _flatten(features[:, k:])
            size = tf.shape(keys)[0]
            loss, accuracy = estimators.info_nce_of_vectors(
                _flatten(predicted),
                replicas.concat(keys),
                positive=replicas.index() * size + tf.range(size),
            )
            losses.append(loss)
            accuracies.append(accuracy)
        count = len(losses)
        metrics = {"prediction_accuracy": tf.add_n(accuracies) / count}
        return Losses(tf.add_n(losses) / count, None, metrics, features)

    def config(self):
        return {"units": self.units, "ahead": self.ahead}


def _gru_cell(units: int, name: str) -> keras.layers.GRUCell:
    """A GRU cell as in Cho et al. 2014, with weights uniform in ±1/√fan_in.

    The gates and the candidate are dense layers on the concatenation of inputs and state, each with
    `units` numbers. The fan-in is therefore 2·units; the upper halves of their kernels form the
    cell's kernel, the lower halves its recurrent kernel.
    """
    gates, candidate = layers.fan_in_kernel(), layers.fan_in_kernel()

    def kernels(dtype):
        shapes = (2 * units, 2 * units), (2 * units, units)
        return tf.concat([gates(shapes[0], dtype), candidate(shapes[1], dtype)], axis=1)

    def bias(shape, dtype=None):
        del shape
        sizes = (2 * units, units)
        return tf.concat([layers.fan_in_bias(2 * units)((size,), dtype) for size in sizes], axis=0)

    return keras.layers.GRUCell(
        units,
        kernel_initializer=lambda shape, dtype=None: kernels(dtype)[:units],
        recurrent_initializer=lambda shape, dtype=None: kernels(dtype)[units:],
        bias_initializer=bias,
        reset_after=False,
        seed=0,  # for dropout, which the cell does not have
        name=name,
    )


def _flatten(maps):
    """[N, R, W, D] -> float32 [N·R·W, D]."""
    size = maps.shape[-1]
    return tf.reshape(tf.cast(maps, tf.float32), [-1, size])
