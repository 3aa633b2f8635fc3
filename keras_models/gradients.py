"""Gradients of one step: of the main and the adversary loss, averaged over micro-batches."""

from typing import TYPE_CHECKING, NamedTuple

import keras
import tensorflow as tf

from keras_models.batch import Batch
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom

if TYPE_CHECKING:
    from keras_models.objective_model import ObjectiveModel


class Gradients(NamedTuple):
    """Gradients, metrics and features of one batch.

    Attributes:
        main: Gradients of the model's `main_variables`; None for a variable without one.
        adversary: Gradients of its `adversary_variables`, in the same form; empty without an
            adversary.
        metrics: float32 scalars, the loss among them.
        features: The batch's global features, or None.
    """

    main: list[tf.Tensor | None]
    adversary: list[tf.Tensor | None]
    metrics: dict[str, tf.Tensor]
    features: tf.Tensor | None


def compute(model: "ObjectiveModel", batch: Batch, random: StepRandom) -> Gradients:
    """Gradients of the mean over the micro-batches, computed one after another to save memory."""
    if model.micro_batches == 1:
        return _compute(model, batch, random)
    results: list[Gradients] = []
    sums: list[tf.Tensor | None] = []  # None: a variable that the objective does not use
    parts = [
        [None] * model.micro_batches if x is None else tf.split(x, model.micro_batches)
        for x in batch
    ]
    for number, part in enumerate(map(Batch, *parts)):
        with tf.control_dependencies([x for x in sums if x is not None]):
            part = part._replace(images=tf.identity(part.images))
            results.append(_compute(model, part, random.fold_in(f"micro-batch {number}")))
            gradients = results[-1].main + results[-1].adversary
            pairs = zip(sums or [None] * len(gradients), gradients, strict=True)
            sums = [b if a is None else a + b for a, b in pairs]
    means = [None if x is None else x / model.micro_batches for x in sums]
    main = len(results[0].main)
    metrics = {
        name: tf.add_n([x.metrics[name] for x in results]) / model.micro_batches
        for name in results[0].metrics
    }
    features = None
    if results[0].features is not None:
        features = tf.concat([x.features for x in results], 0)
    return Gradients(means[:main], means[main:], metrics, features)


def _compute(model, batch, random) -> Gradients:
    with tf.GradientTape(persistent=True) as tape:
        losses = model.objective(batch, random)
        # Optimizers sum the replicas' gradients; the objective is the replicas' mean.
        loss = losses.loss / replicas.count()
        if losses.adversary_loss is not None:
            adversary_loss = losses.adversary_loss / replicas.count()
            adversary_loss = model.adversary_optimizer.scale_loss(adversary_loss)
        loss = model.optimizer.scale_loss(loss)
    adversary = []
    if losses.adversary_loss is not None:
        adversary = tape.gradient(adversary_loss, model.adversary_variables)
    main = tape.gradient(loss, model.main_variables)
    return Gradients(main, adversary, {"loss": losses.loss, **losses.metrics}, losses.features)


def apply(optimizer, gradients: list[tf.Tensor | None], variables: list) -> None:
    """Takes one step of an optimizer: on all replicas, or on none if a gradient overflows."""
    scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if scaling and replicas.count() > 1:
        # Keras lets each replica, or the first one, decide alone whether the gradients overflow.
        sums = tf.add_n([tf.reduce_sum(g * 0) for g in gradients if g is not None])
        poison = replicas.mean(sums)  # 0, or NaN if any replica's gradient is not finite
        gradients = [None if g is None else g + poison for g in gradients]
    optimizer.apply(gradients, variables)
