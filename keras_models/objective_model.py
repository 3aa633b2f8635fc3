"""The training step that every model shares: one objective, two players, two optimizers."""

import abc
import contextlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

import keras
import numpy as np
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from keras_models import batch as batches
from keras_models import compiling, keras_settings
from keras_models.batch import Batch
from keras_models.batch_means import IMAGES, BatchMeans
from keras_models.critics.pairs import TOO_FEW_OTHERS
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.nn.kernels import FusedAdam
from keras_models.optimizers import adam

__all__ = ["Batch", "Losses", "ObjectiveModel"]

KERAS_BATCH = 32  # the batch_size of Keras' fit and evaluate, where none is given


class Losses(NamedTuple):
    """Losses and metrics of one batch.

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

    It sees images alone, but for what `needs_labels` and `needs_rows` ask for. Keras' `fit`,
    `evaluate`, `predict`, callbacks, `save` and `load_model` work; what has no meaning for an
    objective without labels (`loss=`, `metrics=`, weights of examples and classes) is refused.

    Args:
        seed: of the random numbers drawn in training.

    Attributes:
        probe: watches training on batches with labels: (features, labels) -> more metrics. Its
            weights are its own; None: there is none.
        needs_labels: whether the objective needs the images' labels.
        needs_rows: whether it needs to know which images they are.
        compiles: whether XLA can compile a step.
        evaluates: whether other images than those trained on have an objective.
    """

    needs_labels = False
    needs_rows = False
    compiles = True
    evaluates = True
    steps_per_execution: int
    test_function: Any

    def __init__(self, seed: int = 0, **kwargs):
        keras_settings.check_numbers()
        super().__init__(**kwargs)
        self.seed = seed
        self.micro_batches = 1
        self._images_checked = False
        self._frozen = False
        self._frozen_steps = 0
        self._means = BatchMeans()
        self.probe: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]] | None = None

    @abc.abstractmethod
    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        """The losses of this replica's images.

        Args:
            batch: the images.
            random: the step's random numbers.
            training: whether batch norm uses the batch's statistics and moves its own, and dropout
                drops. Without, nothing of the model changes.
        """

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
        frozen_steps: int = 0,
        backbone_learning_rate_scale: float = 1.0,
        **kw,
    ):
        """Sets the two optimizers: of the encoder with its critics, and of the adversaries.

        Under the policy mixed_float16 both get dynamic loss scaling, as Keras' own.

        Args:
            learning_rate: of the default, Adam with the authors' betas (0.5, 0.999).
            optimizer: another one for all but the adversaries, or Keras' name of one.
            adversary_optimizer: another one for the adversaries (the discriminators).
            micro_batches: into how many equal parts a step splits its images, to use less memory;
                their gradients are averaged. Product samples, batch norm's statistics and
                logarithms of sums are then a part's: another objective than the whole batch's.
            weight_decay: of the default optimizer's matrices and kernels, of all but the
                adversaries; biases and the scales of norms have none.
            frozen_steps: for how many first steps the encoder's backbone stands still, while its
                head and the rest learn: `fit` and `train_on_batch` see to it, a loop of one's own
                calls `follow_frozen_steps`. Of a multiple of `steps_per_execution`.
            backbone_learning_rate_scale: of the backbone's learning rate, by the default optimizer.
            **kw: for `keras.Model.compile`, such as `jit_compile`.

        Raises:
            ValueError: arguments about labels and predictions (`loss`, `metrics`), or optimizers
                that would not do what they say.
        """
        compiling.check_arguments(type(self).__name__, kw)
        compiling.check_learning_rate(learning_rate)
        compiling.check_backbone(
            bool(self.backbone_variables),
            frozen_steps,
            kw.get("steps_per_execution", 1),
            backbone_learning_rate_scale,
            optimizer,
        )
        arguments = dict(
            learning_rate=learning_rate,
            optimizer=keras.optimizers.get(optimizer),
            adversary_optimizer=keras.optimizers.get(adversary_optimizer),
            micro_batches=micro_batches,
            weight_decay=weight_decay,
            frozen_steps=frozen_steps,
            backbone_learning_rate_scale=backbone_learning_rate_scale,
            **kw,
        )
        main = arguments["optimizer"] or adam(learning_rate, "adam", weight_decay)
        adversary = arguments["adversary_optimizer"] or adam(learning_rate, "adversary_adam")
        count = self.distribute_strategy.num_replicas_in_sync
        compiling.check_optimizers(main, adversary, count)
        super().compile(optimizer=main, **kw)
        if self.dtype_policy.name == "mixed_float16" and kw.get("auto_scale_loss", True):
            adversary = compiling.scaled(adversary, "adversary_loss_scale_optimizer")
        self.adversary_optimizer = adversary
        self.micro_batches = micro_batches
        self._weight_decay = 0.0 if optimizer else weight_decay
        self._frozen_steps = frozen_steps
        self._backbone_rate = backbone_learning_rate_scale
        self._compile_arguments = arguments
        self._images_checked = False
        if self.built:
            self._build_optimizers()

    def get_compile_config(self):
        """The arguments of `compile`, with which a loaded model trains on."""
        if not self.compiled:
            return None
        return keras.saving.serialize_keras_object(self._compile_arguments)

    def compile_from_config(self, config):
        """Compiles as `get_compile_config` says."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def build(self, input_shape=None):
        """Makes all variables, those of the optimizers too; `fit` does so where nobody has."""
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
        self._set_frozen(False)  # an optimizer knows all variables from its first step on
        for optimizer, variables in (
            (self.optimizer, self.main_variables),
            (self.adversary_optimizer, self.adversary_variables),
        ):
            if optimizer.built:
                continue
            if optimizer is self.optimizer and self._weight_decay:
                vectors = [v for v in variables if len(v.shape) < 2]
                # Loss scaling knows nothing of weight decay; what is inside does.
                inner = getattr(optimizer, "inner_optimizer", optimizer)
                inner.exclude_from_weight_decay(vectors)
            optimizer.build(variables)
        adam_ = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if isinstance(adam_, FusedAdam):
            of_backbone = {id(v) for v in self.backbone_variables}
            variables = [v for v in self.main_variables if id(v) in of_backbone]
            adam_.set_rate(variables, self._backbone_rate, self._frozen_steps)

    @property
    def backbone_variables(self) -> list:
        """Those of the encoder's backbone; empty where it has none."""
        encoder = getattr(self, "encoder", None)
        return encoder.backbone_variables if encoder is not None else []

    def follow_frozen_steps(self) -> None:
        """Keeps the backbone still, or lets it learn, as `frozen_steps` has it for the next step.

        Where that changes, the training function is made anew: a step of the other kind has other
        gradients.
        """
        if self._frozen_steps:
            step = int(keras.ops.convert_to_numpy(self._steps()))
            self._set_frozen(step < self._frozen_steps)

    def _set_frozen(self, frozen):
        if frozen is not self._frozen:
            self._frozen = frozen
            self.encoder.set_backbone_trainable(not frozen)
            self.make_train_function(force=True)

    def _ready(self):
        """Builds what is not built, where variables can still be made."""
        if not self.built:
            with self.distribute_strategy.scope():
                self.build()

    def fit(self, *args, **kwargs):
        """Trains as `keras.Model.fit` does, whose arguments it has.

        Before the first step the first batch is looked at.

        Raises:
            ValueError: weights of examples or classes; images that are not in [-1, 1] or do not fit
                the model; batches that leave too few images; validation of a model without.
        """
        arguments = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        del arguments["self"]
        x = arguments.get("x")
        compiling.check_weights(
            type(self).__name__,
            sample_weight=arguments.get("sample_weight"),
            class_weight=arguments.get("class_weight"),
        )
        self._ready()
        batch_size = arguments.get("batch_size") or KERAS_BATCH
        split = arguments.get("validation_split") or 0.0
        validation = arguments.get("validation_data")
        if split or validation is not None:
            self._check_evaluates("validation")
        parts = self.distribute_strategy.num_replicas_in_sync
        if _in_memory(x):
            trained = int(len(x) * (1 - split)) if validation is None else len(x)
            if not arguments.get("steps_per_epoch"):
                batches.check_sizes(trained, batch_size, parts * self.micro_batches)
            if trained < len(x):
                size = arguments.get("validation_batch_size") or batch_size
                batches.check_sizes(len(x) - trained, size, parts)
        arguments["x"] = self._checked(x, batch_size, arguments.get("y"))
        if validation is not None:
            size = arguments.get("validation_batch_size") or batch_size
            arguments["validation_data"] = self._checked_validation(validation, size, parts)
        if self._frozen_steps:
            arguments["callbacks"] = _with_callback(arguments.get("callbacks"), _Unfreezing())
        with _too_few_images_as_value_error():
            return super().fit(**arguments)

    def _checked_validation(self, validation, batch_size, parts):
        if not isinstance(validation, tuple | list):
            return self._checked(validation, batch_size)
        compiling.check_weights(type(self).__name__, sample_weight=[*validation, None, None][2])
        if _in_memory(validation[0]):
            batches.check_sizes(len(validation[0]), batch_size, parts)
        self._checked(validation[0], batch_size, [*validation, None][1])
        return validation

    def _checked(self, x, batch_size, labels=None):
        """The data, whose first batch has been looked at."""
        first, x = batches.first_batch(x, batch_size)
        if first is not None:
            self._check_first(first, labels)
        return x

    def _check_first(self, data, labels=None):
        for batch in batches.checked(data, self.image_shape):
            self._check(batch if labels is None else batch._replace(labels=labels))

    def _check_evaluates(self, purpose):
        if not self.evaluates:
            raise ValueError(
                f"{purpose}: the objective of {type(self).__name__} is about its training images "
                "alone; measure what predict() gives instead"
            )

    def evaluate(self, *args, **kwargs):
        """The objective and its metrics without training, as `keras.Model.evaluate`.

        Batch norm uses its moving statistics, nothing is dropped, nothing changes. The metrics are
        means over the images; every call draws the same random numbers.

        Raises:
            ValueError: as of `fit`.
        """
        self._check_evaluates("evaluate()")
        arguments = inspect.signature(keras.Model.evaluate).bind(self, *args, **kwargs).arguments
        del arguments["self"]
        more = arguments.pop("kwargs", {})
        compiling.check_weights(type(self).__name__, sample_weight=arguments.get("sample_weight"))
        self._ready()
        if not more:  # Keras' own call in `fit`, which has looked at the images
            x, batch_size = arguments.get("x"), arguments.get("batch_size") or KERAS_BATCH
            if _in_memory(x) and not arguments.get("steps"):
                count = self.distribute_strategy.num_replicas_in_sync
                batches.check_sizes(len(x), batch_size, count)
            arguments["x"] = self._checked(x, batch_size, arguments.get("y"))
        with _too_few_images_as_value_error():
            return super().evaluate(**arguments, **more)

    def predict(self, *args, **kwargs):
        """What the model gives for images, as `keras.Model.predict`."""
        self._ready()
        return super().predict(*args, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step, as `keras.Model.train_on_batch`; the first one looks at the images."""
        compiling.check_weights(
            type(self).__name__, sample_weight=sample_weight, class_weight=class_weight
        )
        self._ready()
        if not self._images_checked:
            self._check_first(x, y)
            self._images_checked = True
        self.follow_frozen_steps()
        with _too_few_images_as_value_error():
            return super().train_on_batch(x, y, return_dict=return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The metrics of one batch, as `keras.Model.test_on_batch`."""
        self._check_evaluates("test_on_batch()")
        compiling.check_weights(type(self).__name__, sample_weight=sample_weight)
        self._ready()
        self._check_first(x, y)
        with _too_few_images_as_value_error():
            return super().test_on_batch(x, y, return_dict=return_dict)

    def make_test_function(self, force=False):
        """Keras' test function, which gives the last batch's metrics, made to give their means."""
        if self.test_function is None or force:
            super().make_test_function(force=True)
            function, steps = self.test_function, self.steps_per_execution

            def one_batch(iterator):
                self.steps_per_execution = 1  # Keras looks at it when it traces
                try:
                    return function(iterator)
                finally:
                    self.steps_per_execution = steps

            self.test_function = self._means.of(one_batch, steps)
        return self.test_function

    def reset_metrics(self):
        """Begins an evaluation anew."""
        super().reset_metrics()
        self._means.reset()

    def _get_metrics_result_or_logs(self, logs):
        """Keras would take its own mean of the loss, which nobody has told the loss."""
        return logs

    def train_step(self, data):
        """One step of both optimizers.

        A batch is a `Batch`, a tuple of its first parts, or float32 images [N, H, W, C] in [-1, 1].

        A pure function of the weights, the optimizers' state, the step number, the seed and the
        batch. Returns this step's loss and metrics, averaged over replicas and micro-batches;
        between several workers of shape [1], because their `fit` averages over an axis.
        """
        batch = self._batch(data, self.micro_batches)
        random = StepRandom(self.seed, self._steps())
        gradients = self._gradients(batch, random)
        self._apply(self.optimizer, gradients.main, self.main_variables)
        if self.adversary_variables:
            self._apply(self.adversary_optimizer, gradients.adversary, self.adversary_variables)
        metrics = gradients.metrics
        if self.probe is not None and batch.labels is not None:
            metrics |= self.probe(gradients.features, batch.labels)
        return _of_all_replicas(metrics)

    def test_step(self, data):
        """The objective of a batch, given as to `train_step`, by the moving statistics."""
        batch = self._batch(data, 1)
        random = StepRandom(derive_seed(self.seed, "evaluation"), tf.constant(0))
        losses = self.objective(batch, random, training=False)
        images = tf.cast(tf.shape(batch.images)[0], tf.float32)
        return _of_all_replicas({"loss": losses.loss, **losses.metrics, IMAGES: images})

    def _steps(self):
        """How many steps were taken; an optimizer that accumulates gradients counts its own."""
        optimizer: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if optimizer.gradient_accumulation_steps:
            return optimizer.variables[0]
        return optimizer.iterations

    def _batch(self, data: Any, parts: int) -> Batch:
        """The batch, checked as far as it can be without looking at its numbers.

        Raises:
            ValueError: the model is not built, or the batch is not what it expects.
        """
        if not self.built:
            raise ValueError(
                f"{self.name} is not built, and a step cannot make variables; call build() first"
            )
        batch = Batch.of(data)
        batch = batch._replace(images=batches.as_float32(batch.images, self.image_shape))
        self._check(batch)
        return batches.with_enough_images(batch, parts, bool(self.jit_compile))

    def _apply(self, optimizer, gradients, variables):
        """A step of an optimizer."""
        scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if scaling and replicas.count() > 1:
            # Keras lets each replica, or the first one, say whether a step was too large.
            sums = tf.add_n([tf.reduce_sum(g * 0) for g in gradients if g is not None])
            poison = replicas.mean(sums)  # 0, or NaN where any replica's gradient is not finite
            gradients = [None if g is None else g + poison for g in gradients]
        optimizer.apply(gradients, variables)

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
        of_parts: list[_Gradients] = []
        sums: list[tf.Tensor | None] = []  # None: of a variable that the objective does not use
        parts = [
            [None] * self.micro_batches if x is None else tf.split(x, self.micro_batches)
            for x in batch
        ]
        for number, part in enumerate(map(Batch, *parts)):
            of_part = random.another(f"micro-batch {number}")
            with tf.control_dependencies([x for x in sums if x is not None]):
                part = part._replace(images=tf.identity(part.images))
                of_parts.append(self._micro_gradients(part, of_part))
                gradients = of_parts[-1].main + of_parts[-1].adversary
                pairs = zip(sums or [None] * len(gradients), gradients, strict=True)
                sums = [b if a is None else a + b for a, b in pairs]
        means = [None if x is None else x / self.micro_batches for x in sums]
        main = len(of_parts[0].main)
        metrics = {
            name: tf.add_n([x.metrics[name] for x in of_parts]) / self.micro_batches
            for name in of_parts[0].metrics
        }
        features = None
        if of_parts[0].features is not None:
            features = tf.concat([x.features for x in of_parts], 0)
        return _Gradients(means[:main], means[main:], metrics, features)

    def _micro_gradients(self, batch: Batch, random: StepRandom) -> "_Gradients":
        with tf.GradientTape(persistent=True) as tape:
            losses = self.objective(batch, random)
            # Optimizers add up the replicas' gradients; the objective is the replicas' mean.
            loss = losses.loss / replicas.count()
            if losses.adversary_loss is not None:
                adversary_loss = losses.adversary_loss / replicas.count()
                adversary_loss = self.adversary_optimizer.scale_loss(adversary_loss)
            loss = self.optimizer.scale_loss(loss)
        adversary = []
        if losses.adversary_loss is not None:
            adversary = tape.gradient(adversary_loss, self.adversary_variables)
        main = tape.gradient(loss, self.main_variables)
        return _Gradients(main, adversary, {"loss": losses.loss, **losses.metrics}, losses.features)


class _Unfreezing(keras.callbacks.Callback):
    """Lets the backbone of a model learn when its frozen steps are over."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.follow_frozen_steps()


def _with_callback(callbacks, one):
    """What `fit` takes as `callbacks`, and one more."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(one)
        return callbacks
    given = callbacks if isinstance(callbacks, list | tuple) else [callbacks] * bool(callbacks)
    return [*given, one]


class _Gradients(NamedTuple):
    main: list[tf.Tensor | None]
    adversary: list[tf.Tensor | None]
    metrics: dict[str, tf.Tensor]
    features: tf.Tensor | None


def _of_all_replicas(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    metrics = replicas.mean(metrics)
    if replicas.between_workers():
        metrics = {name: x[tf.newaxis] for name, x in metrics.items()}
    return metrics


def _in_memory(x: Any) -> TypeGuard[np.ndarray]:
    return isinstance(x, np.ndarray | tf.Tensor)


@contextlib.contextmanager
def _too_few_images_as_value_error():
    """Raises ValueError, of one line, where a step says in the graph that images are missing."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        for message in (batches.TOO_FEW, TOO_FEW_OTHERS):
            if message in error.message:
                raise ValueError(message) from None
        raise
