"""The base class of losses between the projections of two views."""

import abc
from collections.abc import Sequence

import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.terms.base import Term, TermOutput
from keras_models.terms.projector import Projector


class ProjectedTerm(Term):
    """A loss between the projections of two views of one endpoint.

    The metrics are called NAME_METRIC.

    Args:
        hidden_units: Units of each hidden layer of the projector.
        projected_units: P, units of its output.
        endpoint: Endpoint that is projected.
        synchronized: Whether the projector's batch norm takes its statistics over all replicas.
        weight: Factor of the loss in the objective.
    """

    compares_views = True

    def __init__(
        self,
        hidden_units: Sequence[int],
        projected_units: int,
        endpoint: str = "global",
        synchronized: bool = False,
        weight: float = 1.0,
        **kwargs,
    ):
        super().__init__(weight, **kwargs)
        self.hidden_units = tuple(hidden_units)
        self.projected_units = projected_units
        self.endpoint = endpoint
        self.synchronized = synchronized
        self.projector = Projector(
            self.hidden_units, projected_units, synchronized, name="projector"
        )

    @property
    def endpoints(self):
        return (self.endpoint,)

    def build(self, shapes):
        self.projector.build(shapes[self.endpoint])
        self.built = True

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del random
        projections = (
            self.projector(view[self.endpoint], training=training) for view in (context, query)
        )
        loss, metrics = self.compare(*projections)
        return TermOutput(loss, None, {f"{self.name}_{name}": x for name, x in metrics.items()})

    @abc.abstractmethod
    def compare(
        self, first: tf.Tensor, second: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Loss and metrics of this replica's projections of both views, float32 [N, P] each."""

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "projected_units": self.projected_units,
            "endpoint": self.endpoint,
            "synchronized": self.synchronized,
        }
