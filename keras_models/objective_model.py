"""The training step that every model shares: one objective, two players, two optimizers."""

import abc
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from keras_models import replicas
from keras_models.optimizers import adam
from keras_models.randomness import StepRandom


class Batch(NamedTuple):
    """What a training step is given; on replicas, this one's part of it.

    Attributes:
        images: float32 [N, H, W, C] in [-1, 1].
        labels: int64 [N], or [N, A] of attributes; None where nobody asked for them.
        rows: int64 [N], each image's row among the training images; None likewise.
    """

    images: tf.Tensor
    labels: tf.Tensor | None = None
    rows: tf.Tensor | None = None


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
    """A model that is trained by an objective, and maybe against an adversary.

    It sees images alone, but for what `needs_labels` and `needs_rows` ask for.

    Args:
        seed: of the random numbers drawn in training.

    Attributes:
        probe: watches training on batches with labels: (features, labels) -> more metrics. Its
            weights are its own; None: there is none.
        needs_labels: whether the objective needs the images' labels.
        needs_rows: whether it needs to know which images they are.
        compiles: whether XLA can compile a step.
    """

    needs_labels = False
    needs_rows = False
    compiles = True

    def __init__(self, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.micro_batches = 1
        self.probe: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]] | None = None

    @abc.abstractmethod
    def objective(self, batch: Batch, random: StepRandom) -> Losses:
        """The losses of this replica's images."""

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

    def compile(
        self,
        learning_rate: float | LearningRateSchedule = 1e-4,
        optimizer=None,
        adversary_optimizer=None,
        micro_batches: int = 1,
        weight_decay: float = 0.0,
        **kw,
    ):
        """Sets the two optimizers: of the encoder with its critics, and of the adversaries.

        Args:
            learning_rate: of the default, Adam with the authors' betas (0.5, 0.999).
            optimizer: another one for all but the adversaries.
            adversary_optimizer: another one for the adversaries (the discriminators).
            micro_batches: into how many equal parts a step splits its images, to use less memory;
                their gradients are averaged. Product samples, batch norm's statistics and
                logarithms of sums are then a part's: another objective than the whole batch's.
            weight_decay: of the default optimizer's matrices and kernels, of all but the
                adversaries; biases and the scales of norms have none.
            **kw: for `keras.Model.compile`, such as `jit_compile`.
        """
        super().compile(optimizer=optimizer or adam(learning_rate, "adam", weight_decay), **kw)
        self.adversary_optimizer = adversary_optimizer or adam(learning_rate, "adversary_adam")
        self.micro_batches = micro_batches
        self._weight_decay = 0.0 if optimizer else weight_decay
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

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras' `fit` would look at a batch to build what `build` has built already.

        Between several workers it cannot: it averages the labels with the images.
        """

    def _build_optimizers(self):
        if self._weight_decay:
            vectors = [v for v in self.main_variables if len(v.shape) < 2]
            self.optimizer.exclude_from_weight_decay(vectors)
        self.optimizer.build(self.main_variables)
        self.adversary_optimizer.build(self.adversary_variables)

    def train_step(self, batch):
        """One step of both optimizers.

        A batch is a `Batch`, a tuple of its first parts, or float32 images [N, H, W, C] in [-1, 1].

        A pure function of the weights, the optimizers' state, the step number, the seed and the
        batch. Returns this step's loss and metrics, averaged over replicas and micro-batches;
        between several workers of shape [1], because their `fit` averages over an axis.
        """
        batch = Batch(*batch) if isinstance(batch, tuple) else Batch(batch)
        self._check(batch)
        random = StepRandom(self.seed, self.optimizer.iterations)
        found = self._gradients(batch, random)
        self.optimizer.apply(found.main, self.main_variables)
        if self.adversary_variables:
            self.adversary_optimizer.apply(found.adversary, self.adversary_variables)
        metrics = found.metrics
        if self.probe is not None and batch.labels is not None:
            metrics |= self.probe(found.features, batch.labels)
        metrics = replicas.mean(metrics)
        if replicas.between_workers():
            metrics = {name: x[tf.newaxis] for name, x in metrics.items()}
        return metrics

    def _check(self, batch: Batch):
        for name in ("labels", "rows"):
            if getattr(self, f"needs_{name}") and getattr(batch, name) is None:
                raise ValueError(
                    f"{type(self).__name__} is trained on images with their {name}, and the batch "
                    f"has none; give Batch(images, {name}={name})"
                )

    def _gradients(self, batch: Batch, random: StepRandom) -> "_Gradients":
        """Of the mean over the micro-batches, one after the other, so that memory is one's."""
        if self.micro_batches == 1:
            return self._micro_gradients(batch, random)
        found: list[_Gradients] = []
        sums: list[tf.Tensor] = []
        parts = [
            [None] * self.micro_batches if x is None else tf.split(x, self.micro_batches)
            for x in batch
        ]
        for number, part in enumerate(map(Batch, *parts)):
            of_part = random.another(f"micro-batch {number}")
            with tf.control_dependencies(sums):
                part = part._replace(images=tf.identity(part.images))
                found.append(self._micro_gradients(part, of_part))
                gradients = found[-1].main + found[-1].adversary
                sums = [a + b for a, b in zip(sums, gradients, strict=True)] if sums else gradients
        means = [x / self.micro_batches for x in sums]
        main = len(found[0].main)
        metrics = {
            name: tf.add_n([x.metrics[name] for x in found]) / self.micro_batches
            for name in found[0].metrics
        }
        features = None
        if found[0].features is not None:
            features = tf.concat([x.features for x in found], 0)
        return _Gradients(means[:main], means[main:], metrics, features)

    def _micro_gradients(self, batch: Batch, random: StepRandom) -> "_Gradients":
        with tf.GradientTape(persistent=True) as tape:
            losses = self.objective(batch, random)
            # Optimizers add up the replicas' gradients; the objective is the replicas' mean.
            loss = losses.loss / replicas.count()
            if losses.adversary_loss is not None:
                adversary_loss = losses.adversary_loss / replicas.count()
        adversary = []
        if losses.adversary_loss is not None:
            adversary = tape.gradient(adversary_loss, self.adversary_variables)
        main = tape.gradient(loss, self.main_variables)
        return _Gradients(main, adversary, {"loss": losses.loss, **losses.metrics}, losses.features)


class _Gradients(NamedTuple):
    main: list[tf.Tensor]
    adversary: list[tf.Tensor]
    metrics: dict[str, tf.Tensor]
    features: tf.Tensor | None
