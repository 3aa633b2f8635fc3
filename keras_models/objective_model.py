"""The training step that every model shares: one objective, two players, two optimizers."""

import abc
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule

from keras_models import batch as batches
from keras_models import (
    compiling,
    data_checks,
    frozen_backbone,
    gradients,
    keras_settings,
    optimizers,
)
from keras_models.batch import Batch
from keras_models.batch_means import BATCH_SIZE, BatchMeans
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.nn.kernels import FusedAdam

__all__ = ["Batch", "Losses", "ObjectiveModel"]


class Losses(NamedTuple):
    """Losses and metrics of one batch.

    Attributes:
        loss: float32 scalar, minimised by all variables except the adversary's.
        adversary_loss: float32 scalar, minimised by the adversary's variables; None without one.
        metrics: float32 scalars, logged beside the loss.
        features: The batch's global features, for a probe; None if there are none.
    """

    loss: tf.Tensor
    adversary_loss: tf.Tensor | None
    metrics: dict[str, tf.Tensor]
    features: tf.Tensor | None = None


class ObjectiveModel(keras.Model, abc.ABC):
    """A model trained by an objective, possibly against an adversary.

    The objective sees only images, unless `needs_labels` or `needs_indices` is set. Keras' `fit`,
    `evaluate`, `predict`, callbacks, `save` and `load_model` work. Arguments that have no meaning
    for an objective without labels (`loss=`, `metrics=`, weights of examples and classes) are
    refused.

    Args:
        seed: Seed of the random numbers drawn in training.

    Attributes:
        probe: Monitors training on batches with labels: (features, labels) -> more metrics. The
            model does not train the probe's weights. None: no probe.
        needs_labels: Whether the objective needs the images' labels.
        needs_indices: Whether it needs the images' indices in the training set.
        compiles: Whether XLA can compile a step.
        evaluates: Whether the objective is defined on images outside the training set.
    """

    needs_labels = False
    needs_indices = False
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
            batch: The images.
            random: The step's random numbers.
            training: Whether batch norm uses the batch's statistics and updates the moving ones,
                and dropout drops. If False, no variable changes.
        """

    @property
    @abc.abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the training images."""

    @property
    @abc.abstractmethod
    def adversary_variables(self) -> list:
        """Variables trained by the adversary's optimizer."""

    @property
    def main_variables(self) -> list:
        """Variables trained by the main optimizer: all trainable ones except the adversary's."""
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
        """Sets the two optimizers: one for the encoder and its critics, one for the adversaries.

        Under the policy mixed_float16 both get dynamic loss scaling, as in Keras.

        Args:
            learning_rate: Learning rate of the default optimizer, Adam with the authors' betas
                (0.5, 0.999).
            optimizer: Optimizer of all variables except the adversaries', or its Keras name; None:
                the default.
            adversary_optimizer: Optimizer of the adversaries (discriminators), in the same form.
            micro_batches: Number of equal parts into which a step splits its images to save memory;
                their gradients are averaged. Product samples, batch norm's statistics and
                logarithms of sums are then computed per part, so the objective differs from that of
                the whole batch.
            weight_decay: Weight decay of the default main optimizer, on matrices and kernels;
                biases and the scales of norms have none.
            frozen_steps: Number of steps at the start in which the encoder's backbone is frozen
                while its head and the rest learn; a multiple of `steps_per_execution`. `fit` and
                `train_on_batch` apply it; a custom loop calls `apply_frozen_steps`.
            backbone_learning_rate_scale: Factor of the backbone's learning rate, for the default
                optimizer.
            **kw: Arguments of `keras.Model.compile`, such as `jit_compile`.

        Raises:
            ValueError: Arguments are about labels and predictions (`loss`, `metrics`), or
                optimizers would not work as configured.
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
        main = arguments["optimizer"] or optimizers.adam(learning_rate, "adam", weight_decay)
        adversary = arguments["adversary_optimizer"] or optimizers.adam(
            learning_rate, "adversary_adam"
        )
        compiling.check_optimizers(main, adversary, self.distribute_strategy.num_replicas_in_sync)
        super().compile(optimizer=main, **kw)
        if self.dtype_policy.name == "mixed_float16" and kw.get("auto_scale_loss", True):
            adversary = compiling.with_loss_scaling(adversary, "adversary_loss_scale_optimizer")
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
        """The arguments of `compile`, with which a loaded model continues training."""
        if not self.compiled:
            return None
        return keras.saving.serialize_keras_object(self._compile_arguments)

    def compile_from_config(self, config):
        """Compiles the model with the result of `get_compile_config`."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def build(self, input_shape=None):
        """Creates all variables, including the optimizers'; `fit` calls it if needed."""
        self.build_parts()
        self.built = True
        if hasattr(self, "adversary_optimizer"):
            self._build_optimizers()

    @abc.abstractmethod
    def build_parts(self) -> None:
        """Builds the parts of the model that are not built yet."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: `build` has built everything.

        Keras' `fit` would build from a batch. That fails on several workers, because it averages
        the labels together with the images.
        """

    def _build_optimizers(self):
        self._set_frozen(False)  # an optimizer has slots for all variables from its first step
        for optimizer, variables in (
            (self.optimizer, self.main_variables),
            (self.adversary_optimizer, self.adversary_variables),
        ):
            decayed = optimizer is self.optimizer and self._weight_decay > 0
            optimizers.build(optimizer, variables, decayed)
        main = optimizers.inner(self.optimizer)
        if isinstance(main, FusedAdam):
            backbone = {id(v) for v in self.backbone_variables}
            variables = [v for v in self.main_variables if id(v) in backbone]
            main.set_rate(variables, self._backbone_rate, self._frozen_steps)

    @property
    def backbone_variables(self) -> list:
        """Variables of the encoder's backbone; empty if it has none."""
        encoder = getattr(self, "encoder", None)
        return encoder.backbone_variables if encoder is not None else []

    @property
    def changes_between_steps(self) -> bool:
        """Whether `apply_frozen_steps` has anything to do."""
        return bool(self._frozen_steps)

    def apply_frozen_steps(self) -> None:
        """Freezes or unfreezes the backbone for the next step, according to `frozen_steps`.

        A change rebuilds the training function, because the gradients change.
        """
        if self._frozen_steps:
            step = int(keras.ops.convert_to_numpy(optimizers.steps_taken(self.optimizer)))
            self._set_frozen(step < self._frozen_steps)

    def _set_frozen(self, frozen):
        if frozen is not self._frozen:
            self._frozen = frozen
            self.encoder.set_backbone_trainable(not frozen)
            self.make_train_function(force=True)

    def _ensure_built(self):
        """Builds the model, unless it is built, while variables can still be created."""
        if not self.built:
            with self.distribute_strategy.scope():
                self.build()

    def fit(self, *args, **kwargs):
        """Trains the model; arguments as for `keras.Model.fit`.

        The first batch is checked before the first step.

        Raises:
            ValueError: Examples or classes have weights; images are not in [-1, 1] or do not fit
                the model; batches have too few images; or a model without evaluation is to be
                validated.
        """
        arguments = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs).arguments
        del arguments["self"]
        compiling.check_weights(
            type(self).__name__,
            sample_weight=arguments.get("sample_weight"),
            class_weight=arguments.get("class_weight"),
        )
        self._ensure_built()
        data_checks.check_fit(self, arguments)
        if self.changes_between_steps:
            arguments["callbacks"] = frozen_backbone.with_callback(
                arguments.get("callbacks"), frozen_backbone.FreezeBackbone()
            )
        with data_checks.too_few_images_as_value_error():
            return super().fit(**arguments)

    def evaluate(self, *args, **kwargs):
        """The objective and its metrics without training; arguments as for `keras.Model.evaluate`.

        Batch norm uses its moving statistics, dropout drops nothing, and no variable changes. The
        metrics are means over the images; every call draws the same random numbers.

        Raises:
            ValueError: As for `fit`.
        """
        data_checks.check_evaluates(self, "evaluate()")
        arguments = inspect.signature(keras.Model.evaluate).bind(self, *args, **kwargs).arguments
        del arguments["self"]
        internal = arguments.pop("kwargs", {})  # not empty in calls from Keras' own `fit`
        compiling.check_weights(type(self).__name__, sample_weight=arguments.get("sample_weight"))
        self._ensure_built()
        if not internal:  # `fit` has checked its data already
            data_checks.check_evaluate(self, arguments)
        with data_checks.too_few_images_as_value_error():
            return super().evaluate(**arguments, **internal)

    def predict(self, *args, **kwargs):
        """The model's outputs for images; arguments as for `keras.Model.predict`."""
        self._ensure_built()
        return super().predict(*args, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One step, like `keras.Model.train_on_batch`; the first call checks the images."""
        compiling.check_weights(
            type(self).__name__, sample_weight=sample_weight, class_weight=class_weight
        )
        self._ensure_built()
        if not self._images_checked:
            data_checks.check_first(self, x, y)
            self._images_checked = True
        self.apply_frozen_steps()
        with data_checks.too_few_images_as_value_error():
            return super().train_on_batch(x, y, return_dict=return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The metrics of one batch, like `keras.Model.test_on_batch`."""
        data_checks.check_evaluates(self, "test_on_batch()")
        compiling.check_weights(type(self).__name__, sample_weight=sample_weight)
        self._ensure_built()
        data_checks.check_first(self, x, y)
        with data_checks.too_few_images_as_value_error():
            return super().test_on_batch(x, y, return_dict=return_dict)

    def make_test_function(self, force=False):
        """Keras' test function, changed to return the metrics' means, not the last batch's."""
        if self.test_function is None or force:
            super().make_test_function(force=True)
            function, steps = self.test_function, self.steps_per_execution

            def one_batch(iterator):
                self.steps_per_execution = 1  # Keras reads it when it traces
                try:
                    return function(iterator)
                finally:
                    self.steps_per_execution = steps

            self.test_function = self._means.averaged(one_batch, steps)
        return self.test_function

    def reset_metrics(self):
        """Resets the means at the start of an evaluation."""
        super().reset_metrics()
        self._means.reset()

    def _get_metrics_result_or_logs(self, logs):
        """The metrics of the step; Keras would add its loss tracker, which is never updated."""
        return logs

    def train_step(self, data):
        """One step of both optimizers.

        The step is a pure function of the weights, the optimizers' state, the step number, the seed
        and the batch: a `Batch`, a tuple of its first fields, or float32 images [N, H, W, C] in
        [-1, 1]. Returns the loss and metrics, averaged over replicas and micro-batches. On several
        workers they have shape [1], because their `fit` averages over an axis.
        """
        batch = self._batch(data, self.micro_batches)
        random = StepRandom(self.seed, optimizers.steps_taken(self.optimizer))
        result = gradients.compute(self, batch, random)
        gradients.apply(self.optimizer, result.main, self.main_variables)
        if self.adversary_variables:
            gradients.apply(self.adversary_optimizer, result.adversary, self.adversary_variables)
        metrics = result.metrics
        if self.probe is not None and batch.labels is not None:
            metrics |= self.probe(result.features, batch.labels)
        return replicas.mean_metrics(metrics)

    def test_step(self, data):
        """The objective of a batch as in `train_step`, with batch norm's moving statistics."""
        batch = self._batch(data, 1)
        random = StepRandom(derive_seed(self.seed, "evaluation"), tf.constant(0))
        losses = self.objective(batch, random, training=False)
        images = tf.cast(tf.shape(batch.images)[0], tf.float32)
        return replicas.mean_metrics({"loss": losses.loss, **losses.metrics, BATCH_SIZE: images})

    def _batch(self, data: Any, parts: int) -> Batch:
        """The batch, checked as far as possible without reading its values.

        Raises:
            ValueError: The model is not built, or the batch does not fit it.
        """
        if not self.built:
            raise ValueError(
                f"{self.name} is not built, and a step cannot make variables; call build() first"
            )
        batch = Batch.from_data(data)
        batch = batch._replace(images=batches.as_float32(batch.images, self.image_shape))
        data_checks.check_fields(self, batch)
        return batches.assert_enough_images(batch, parts, bool(self.jit_compile))
