"""How the evaluation builds a measure, and what the measure requires."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.measure import NO_LABELS, Measure
from dim_tf.evaluation.representation import Representation
from dim_tf.experiment import Experiment

Encode = Callable[[EvaluationData], Representation]
# Global features [N, D] -> int [N], the cluster of each image.
AssignClusters = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TrainableEncoders:
    """The Keras models that fine-tuning starts from.

    Attributes:
        trained: The encoder that is measured.
        random: The same architecture with random weights.
    """

    trained: keras.Model
    random: keras.Model


@dataclass(frozen=True)
class MeasureContext:
    """What a measure is built from.

    Attributes:
        representation: The features that are measured.
        encode: images -> their representation, by the same encoder.
        experiment: The settings of the measures.
        seeds: Number of trainings of a probe to average.
        encoders: The encoder itself; None if it cannot be trained.
        assign_clusters: The trained model's own clusters; None if it has none.
    """

    representation: Representation
    encode: Encode
    experiment: Experiment
    seeds: int
    encoders: TrainableEncoders | None
    assign_clusters: AssignClusters | None = None


# Says why it is not met; empty if it is.
Requirement = Callable[[MeasureContext], str]


@dataclass(frozen=True)
class MeasureSpec:
    """A measure that --measures can ask for.

    Attributes:
        build: context -> the measure.
        requires: The requirements, in the order in which they are checked.
    """

    build: Callable[[MeasureContext], Measure]
    requires: tuple[Requirement, ...] = ()

    def unmet_requirement(self, context: MeasureContext) -> str:
        """Why the measure cannot run; empty if it can."""
        return next(filter(None, (requirement(context) for requirement in self.requires)), "")


def needs_labels(context: MeasureContext) -> str:
    """Labels of any kind are required."""
    return "" if context.representation.data.has_labels else NO_LABELS


def needs_classes(context: MeasureContext) -> str:
    """One class per image is required."""
    if context.representation.data.has_classes:
        return ""
    return needs_labels(context) or "needs one class an image; these labels are attributes"


def needs_trainable_encoder(context: MeasureContext) -> str:
    """The encoder itself is required."""
    return "" if context.encoders else "needs an encoder that can be trained: that of a run"
