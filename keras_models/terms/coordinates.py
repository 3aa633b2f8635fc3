"""Coordinates: the position of a local feature in the image, predicted from it and Y.

Two of the structure tasks of Hjelm et al. 2019 (section on structure): absolute coordinates, and
the offset between two local features.

N images, L = M x M' locations of a local map, C channels, D units of the global feature Y.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import critics
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.terms.base import Term, TermOutput


@keras.saving.register_keras_serializable(layers.PACKAGE)
class CoordinatePredictor(keras.Model):
    """Dense layers with ReLU, then the logits of a row and of a column.

    Args:
        rows: Number of row classes.
        columns: Number of column classes.
        hidden_units: Units of each hidden layer.
    """

    def __init__(self, rows: int, columns: int, hidden_units: Sequence[int] = (512, 512), **kwargs):
        super().__init__(**kwargs)
        self.rows = rows
        self.columns = columns
        self.hidden_units = tuple(hidden_units)
        self.stack = layers.DenseStack(self.hidden_units, rows + columns, name="stack")

    def build(self, input_shape):
        self.stack.build(input_shape)
        self.built = True

    def call(self, features):
        """[..., F] -> float32 logits [..., rows] and [..., columns]."""
        logits = tf.cast(self.stack(features), tf.float32)
        return logits[..., : self.rows], logits[..., self.rows :]

    def get_config(self):
        return {
            "name": self.name,
            "rows": self.rows,
            "columns": self.columns,
            "hidden_units": self.hidden_units,
        }


class _CoordinateTerm(Term):
    """Cross-entropy of a predictor of rows and columns.

    The local features are the context's, the global feature is the query's.
    """

    def __init__(self, hidden_units: Sequence[int] = (512, 512), weight: float = 1.0, **kwargs):
        super().__init__(weight, **kwargs)
        self.hidden_units = tuple(hidden_units)

    @property
    def endpoints(self):
        return ("global", "local")

    def _build_predictor(self, rows, columns, inputs):
        self.predictor = CoordinatePredictor(rows, columns, self.hidden_units, name="predictor")
        self.predictor.build((None, None, inputs))
        self.built = True

    def _output(self, features, rows, columns) -> TermOutput:
        """Loss and metrics of the predictions.

        Args:
            features: Inputs of the predictor, to be concatenated: [N, L, ...] each.
            rows: int32 [L], the correct rows.
            columns: int32 [L], the correct columns.
        """
        row_logits, column_logits = self.predictor(tf.concat(features, axis=-1))
        losses, correct = [], []
        for logits, classes in ((row_logits, rows), (column_logits, columns)):
            labels = tf.broadcast_to(classes, tf.shape(logits)[:2])
            losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            correct.append(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels)
        loss = tf.reduce_mean(tf.add_n(losses))
        accuracy = tf.reduce_mean(tf.cast(correct[0] & correct[1], tf.float32))
        metrics = {f"{self.name}_loss": loss, f"{self.name}_accuracy": accuracy}
        return TermOutput(loss, None, metrics)

    def get_config(self):
        return {**super().get_config(), "hidden_units": self.hidden_units}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Coordinates(_CoordinateTerm):
    """Row and column of each local feature, predicted from it and Y.

    The loss is the cross-entropy of the row (M classes) plus that of the column (M'), averaged over
    images and locations. Several globals of an image are averaged.

    Args:
        hidden_units: Units of the predictor's hidden layers.
        weight: Weight of the term.
        name: Name of the term; its metrics are NAME_loss and NAME_accuracy, the fraction of
            locations whose row and column are both correct.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (512, 512),
        weight: float = 1.0,
        name: str = "coordinates",
        **kwargs,
    ):
        super().__init__(hidden_units, weight, name=name, **kwargs)

    def build(self, shapes):
        _, rows, columns, channels = shapes["local"]
        self._build_predictor(rows, columns, channels + shapes["global"][-1])

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del random, training
        local_map = context["local"]
        features = [_flatten(local_map), _repeat_global(query["global"], local_map)]
        return self._output(features, *_coordinates(local_map))


@keras.saving.register_keras_serializable(layers.PACKAGE)
class RelativeCoordinates(_CoordinateTerm):
    """Offset in rows and columns between two local features, predicted from both and Y.

    Each location p has a partner q: a random permutation of the locations in each step, the same in
    all images. The loss is the cross-entropy of row(q) - row(p) (2M - 1 classes) plus that of the
    columns (2M' - 1), averaged over images and locations. Several globals of an image are averaged.

    Args:
        hidden_units: Units of the predictor's hidden layers.
        weight: Weight of the term.
        name: Name of the term; its metrics are NAME_loss and NAME_accuracy, the fraction of
            locations whose offsets are both correct.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (512, 512),
        weight: float = 1.0,
        name: str = "relative_coordinates",
        **kwargs,
    ):
        super().__init__(hidden_units, weight, name=name, **kwargs)

    def build(self, shapes):
        _, rows, columns, channels = shapes["local"]
        inputs = 2 * channels + shapes["global"][-1]
        self._build_predictor(2 * rows - 1, 2 * columns - 1, inputs)

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del training
        local_map = context["local"]
        locals_ = _flatten(local_map)
        partner = random.choice("relative coordinates", locals_.shape[1], locals_.shape[1])
        features = [
            locals_,
            tf.gather(locals_, partner, axis=1),
            _repeat_global(query["global"], local_map),
        ]
        rows, columns = (
            # The smallest offset, -(M - 1), is class 0.
            tf.gather(x, partner) - x + size - 1
            for x, size in zip(_coordinates(local_map), local_map.shape[1:3], strict=True)
        )
        return self._output(features, rows, columns)


def coordinate_tasks(coordinates: float, relative_coordinates: float) -> list:
    """The two tasks with these weights, except those of weight 0."""
    weights = ((Coordinates, coordinates), (RelativeCoordinates, relative_coordinates))
    return [task(weight=weight) for task, weight in weights if weight]


def _flatten(local_map):
    """[N, M, M', C] -> [N, L, C]."""
    return tf.reshape(local_map, [-1, local_map.shape[1] * local_map.shape[2], local_map.shape[3]])


def _coordinates(local_map):
    """Row and column of each location in the order of `_flatten`: int32 [L] each."""
    location = tf.range(local_map.shape[1] * local_map.shape[2])
    return location // local_map.shape[2], location % local_map.shape[2]


def _repeat_global(global_features, local_map):
    """Y at each location: [N, D] or [N, g, g, D] -> [N, L, D]."""
    mean = tf.reduce_mean(critics.flatten_globals(global_features), axis=1, keepdims=True)
    return tf.repeat(
        tf.cast(mean, local_map.dtype), local_map.shape[1] * local_map.shape[2], axis=1
    )
