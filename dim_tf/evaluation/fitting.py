"""Trains the discriminators and the decoder of the measures.

Probes are trained by the authors' recipe, see `measures.probes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dim_tf.system.errors import RunError
from keras_models.distribute.randomness import StepRandom, derive_seed

EMA_FRACTION = 0.1  # of the steps, that the moving averages of the weights look back on


@dataclass(frozen=True)
class MeasureTraining:
    """Adam with a rate that falls to 0 along half a cosine; the weights end as moving averages.

    The averages look back on about a tenth of the steps and are less noisy than the last weights.

    Attributes:
        steps: Training steps.
        batch_size: Samples per step.
        learning_rate: Learning rate at the first step.
        seed: Seed of the initial weights and of all random numbers.
    """

    steps: int
    batch_size: int
    learning_rate: float
    seed: int = 0

    def __str__(self):
        return (
            f"{self.steps:,} steps of Adam on batches of {self.batch_size:,}, learning rate "
            f"{self.learning_rate:g} falling to 0 along half a cosine, running means of the weights"
        )

    def seed_weights(self, purpose: str) -> None:
        """Makes the weights of the layers that are built next a function of the seed."""
        keras.utils.set_random_seed(derive_seed(self.seed, purpose))


def minimise(
    variables: Sequence[keras.Variable],
    loss: Callable[[StepRandom], tf.Tensor],
    training: MeasureTraining,
) -> None:
    """Trains the variables.

    Args:
        variables: The variables to train; they end as their moving averages.
        loss: Random numbers of a step -> the loss, a scalar, of a batch drawn with them.
        training: Optimizer, steps and seed.

    Raises:
        RunError: The loss is not finite.
    """
    momentum = max(1.0 - 1.0 / (EMA_FRACTION * training.steps), 0.0)
    learning_rate = keras.optimizers.schedules.CosineDecay(training.learning_rate, training.steps)
    optimizer = keras.optimizers.Adam(learning_rate, use_ema=True, ema_momentum=momentum)
    optimizer.build(variables)

    @tf.function
    def train_step(step):
        with tf.GradientTape() as tape:
            step_loss = loss(StepRandom(training.seed, step))
        gradients = tape.gradient(step_loss, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return step_loss

    for step in tf.range(training.steps):
        last_loss = train_step(step)
    if not np.isfinite(last_loss):
        raise RunError(
            f"the training of a measure diverged: its loss is {last_loss:.4g} after "
            f"{training.steps:,} steps; see whether the features are finite and not huge, or leave "
            "the measure out of --measures"
        )
    optimizer.finalize_variable_values(variables)
