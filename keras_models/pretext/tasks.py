"""An encoder trained by pretext tasks: one task, or several on one trunk."""

import abc
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


class TaskOutput(NamedTuple):
    """Loss and metrics of one batch.

    Attributes:
        loss: float32 scalar.
        metrics: float32 scalars, logged.
        features: Global features of the batch's images, as the task has encoded them.
    """

    loss: tf.Tensor
    metrics: dict[str, tf.Tensor]
    features: tf.Tensor


class Task(keras.layers.Layer, abc.ABC):
    """A pretext task: images that it makes from a batch, a head, and a loss.

    Args:
        weight: Factor of the loss in the objective.

    Attributes:
        needs_indices: Whether it needs the images' indices in the training set.
        evaluates: Whether the loss is defined on images outside the training set.
    """

    needs_indices = False
    evaluates = True

    def __init__(self, weight: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    @abc.abstractmethod
    def build(self, shapes: dict[str, tuple]) -> None:
        """Builds the head for endpoints of these shapes.

        Raises:
            ValueError: The endpoints do not fit.
        """

    @abc.abstractmethod
    def output(
        self, encoder, batch: Batch, random: StepRandom, training: bool = True
    ) -> TaskOutput:
        """The task's loss on this replica's images.

        Args:
            encoder: The encoder that is trained.
            batch: The images.
            random: Random numbers of the step.
            training: Whether batch norm uses the batch's statistics.
        """

    def get_config(self):
        return {"name": self.name, "weight": self.weight}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PretextModel(EncoderModel):
    """An encoder trained by the weighted sum of tasks.

    With several tasks this is multi-task learning (Doersch & Zisserman 2017, section 3,
    https://arxiv.org/abs/1708.07860). The paper normalises the gradients of each task by a separate
    RMSProp; here the losses have fixed weights and one optimizer.

    Args:
        encoder: Images -> endpoints.
        tasks: `Task`s with different names.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: There is no task, or two have the same name; when built, the encoder does not
            fit.
    """

    def __init__(self, encoder, tasks, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        self.tasks = list(tasks)
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"tasks: {', '.join(names) or 'none'}; expected at least one, each with a name of "
                "its own"
            )
        self.needs_indices = any(task.needs_indices for task in self.tasks)
        self.evaluates = all(task.evaluates for task in self.tasks)

    def build_heads(self, shapes):
        for task in self.tasks:
            if not task.built:
                task.build(shapes)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        loss, features = tf.constant(0.0), None
        metrics: dict[str, tf.Tensor] = {}
        for task in self.tasks:
            output = task.output(self.encoder, batch, random.fold_in(task.name), training)
            loss += task.weight * output.loss
            metrics |= {f"{task.name}_{name}": value for name, value in output.metrics.items()}
            features = output.features if features is None else features
        return Losses(loss, None, metrics, features)

    def config(self):
        return {"tasks": self.tasks}
