"""The training step that every model shares: one objective, two players, two optimizers."""

import abc
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_models import replicas
from keras_models.randomness import StepRandom


class Losses(NamedTuple):
    """What a model says of a batch.

    Attributes:
        loss: float32 scalar, minimised by all variables that are not the adversary's.
        adversary_loss: float32 scalar, minimised by the adversary's variables; None without one.
        metrics: float32 scalars to be logged beside the loss.
        features: the batch's global feature, for a probe; None where there is none.
    """

    loss: tf.Tensor
    adversary_loss: tf.Tensor | None
    metrics: dict[str, tf.Tensor]
    features: tf.Tensor | None = None


class ObjectiveModel(keras.Model, abc.ABC):
    """A model that is trained on images alone, by an objective and maybe against an adversary.

    Args:
        seed: of the random numbers drawn in training.

    Attributes:
        probe: watches training on batches with labels: (features, labels) -> more metrics. Its
            weights are its own; None: there is none.
    """

    def __init__(self, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.probe: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]] | None = None

    @abc.abstractmethod
    def objective(self, images: tf.Tensor, random: StepRandom) -> Losses:
        """The losses of this replica's float32 images [N, H, W, C] in [-1, 1]."""

    @property
    @abc.abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images it is trained on."""

    @property
    @abc.abstractmethod
    def adversary_variables(self) -> list:
        """What the adversary's optimizer owns."""

    @property
    def main_variables(self) -> list:
        """What the main optimizer owns: all trainable variables but the adversary's."""
        adversary = {id(v) for v in self.adversary_variables}
        return [v for v in self.trainable_variables if id(v) not in adversary]

    def compile(self, learning_rate: float = 1e-4, optimizer=None, adversary_optimizer=None, **kw):
        """Sets the two optimizers: of the encoder with its critics, and of the adversaries.

        Args:
            learning_rate: of the default, Adam with the authors' betas (0.5, 0.999).
            optimizer: another one for all but the adversaries.
            adversary_optimizer: another one for the adversaries (the discriminators).
            **kw: for `keras.Model.compile`, such as `jit_compile`.
        """
        super().compile(optimizer=optimizer or adam(learning_rate, "adam"), **kw)
        self.adversary_optimizer = adversary_optimizer or adam(learning_rate, "adversary_adam")
        if self.built:
            self._build_optimizers()

    def build(self, input_shape=None):
        """Makes all variables, those of the optimizers too: needed before `fit`."""
        self.build_parts()
        self.built = True
        if hasattr(self, "adversary_optimizer"):
            self._build_optimizers()

    @abc.abstractmethod
    def build_parts(self) -> None:
        """Builds those parts of the model that are not built yet."""

    def _build_optimizers(self):
        self.optimizer.build(self.main_variables)
        self.adversary_optimizer.build(self.adversary_variables)

    def train_step(self, batch):
        """One step of both optimizers on float32 images [N, H, W, C] in [-1, 1].

        A batch may be (images, labels); the labels are for the probe alone.

        A pure function of the weights, the optimizers' state, the step number, the seed and the
        images. Returns this step's loss and metrics, averaged over replicas.
        """
        images, labels = batch if isinstance(batch, tuple) else (batch, None)
        random = StepRandom(self.seed, self.optimizer.iterations)
        with tf.GradientTape(persistent=True) as tape:
            losses = self.objective(images, random)
            # Optimizers add up the replicas' gradients; the objective is the replicas' mean.
            loss = losses.loss / replicas.count()
            if losses.adversary_loss is not None:
                adversary_loss = losses.adversary_loss / replicas.count()

        variables = self.main_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        if losses.adversary_loss is not None:
            variables = self.adversary_variables
            self.adversary_optimizer.apply(tape.gradient(adversary_loss, variables), variables)
        metrics = {"loss": losses.loss, **losses.metrics}
        if self.probe is not None and labels is not None:
            metrics |= self.probe(losses.features, labels)
        return replicas.mean(metrics)


def adam(learning_rate: float, name: str) -> keras.optimizers.Adam:
    """The authors' optimizer: betas (0.5, 0.999), epsilon 1e-8 (Keras' default is 1e-7)."""
    return keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8, name=name)
