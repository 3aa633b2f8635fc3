"""The interface of a term of the objective: endpoints of one or two views in, a loss out."""

import abc
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom

Endpoints = dict[str, tf.Tensor]  # an encoder's outputs for one view of the images
Shapes = dict[str, tuple]  # of the endpoints; batch size None


class TermOutput(NamedTuple):
    """Losses and metrics of one batch.

    Attributes:
        encoder_loss: float32 scalar, minimised by the encoder and by all variables of the term
            except the adversary's.
        adversary_loss: float32 scalar, minimised by the term's `adversary_variables`; None if there
            are none. Its gradient does not reach the encoder.
        metrics: float32 scalars, logged.
    """

    encoder_loss: tf.Tensor
    adversary_loss: tf.Tensor | None
    metrics: dict[str, tf.Tensor]


class Term(keras.layers.Layer, abc.ABC):
    """A weighted part of the objective of `DeepInfoMax`.

    A term takes the query's features from one view and the context's from the other; with one view
    both are the same. A new term is a file with a subclass: see docs/howto/add-a-term.md.

    Args:
        weight: Factor of the term's loss in the objective.

    Attributes:
        endpoints: Names of the encoder's endpoints that the term reads.
        compares_views: Whether the loss compares two views symmetrically. Such a term is called
            once per step and needs two views; a symmetric model calls other terms in both
            directions.
    """

    compares_views = False

    def __init__(self, weight: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    @property
    @abc.abstractmethod
    def endpoints(self) -> tuple[str, ...]:
        """Names of the encoder's endpoints that the term reads."""

    @property
    def adversary_variables(self) -> list:
        """The variables that minimise `adversary_loss`; none by default."""
        return []

    @abc.abstractmethod
    def build(self, shapes: Shapes) -> None:
        """Creates the term's variables for endpoints of these shapes."""

    @abc.abstractmethod
    def call(
        self, query: Endpoints, context: Endpoints, random: StepRandom, training: bool = True
    ) -> TermOutput:
        """The loss of this replica's images.

        Args:
            query: Endpoints of the query's view.
            context: Endpoints of the context's view.
            random: Random numbers of the step.
            training: Whether batch norm uses the batch's statistics.
        """

    def get_config(self):
        return {"name": self.name, "weight": self.weight}


def global_samples(features: tf.Tensor) -> tf.Tensor:
    """Global features [N, D], or [N, g, g, D] of g·g per image -> float32 [N·g·g, D]."""
    return tf.reshape(tf.cast(features, tf.float32), [-1, features.shape[-1]])


def as_map(features: tf.Tensor) -> tf.Tensor:
    """[N, M, M', C] unchanged, or [N, C] as the map [N, 1, 1, C] of one location."""
    return features if features.shape.rank == 4 else features[:, tf.newaxis, tf.newaxis]


def map_shape(shape: tuple) -> tuple:
    """The shape that `as_map` gives features of this shape."""
    return shape if len(shape) == 4 else (shape[0], 1, 1, shape[1])
