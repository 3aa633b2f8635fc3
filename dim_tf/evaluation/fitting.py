"""How the discriminators and the decoder of the measures are trained.

Probes are not: theirs is the authors' recipe, in `probes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from dim_tf.system.errors import RunError
from keras_models.distribute.randomness import StepRandom, derive_seed

AVERAGED = 0.1  # share of the steps that the running means of the weights look back on


@dataclass(frozen=True)
class Recipe:
    """Adam, whose rate falls to 0 along half a cosine; the weights end as their running means.

    These look back on about a tenth of the steps: they are less noisy than the last weights.

    Attributes:
        steps: of training.
        batch: samples in a step.
        learning_rate: at the first step.
        seed: of the first weights and of all that is drawn.
    """

    steps: int
    batch: int
    learning_rate: float
    seed: int = 0

    def __str__(self):
        return (
            f"{self.steps:,} steps of Adam on batches of {self.batch:,}, learning rate "
            f"{self.learning_rate:g} falling to 0 along half a cosine, running means of the weights"
        )

    def seed_weights(self, purpose: str) -> None:
        """Makes the weights of the layers that are made next a function of the seed."""
        keras.utils.set_random_seed(derive_seed(self.seed, purpose))


def minimise(
    variables: Sequence[keras.Variable],
    loss: Callable[[StepRandom], tf.Tensor],
    recipe: Recipe,
) -> None:
    """Trains the variables.

    Args:
        variables: that are trained; they end as their running means.
        loss: of one step's batch, drawn by the numbers that it is given; a scalar.
        recipe: how.

    Raises:
        RunError: the loss is not finite.
    """
    kept = max(1.0 - 1.0 / (AVERAGED * recipe.steps), 0.0)
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.steps)
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=kept)
    optimizer.build(variables)

    @tf.function
    def step(number):
        with tf.GradientTape() as tape:
            reached = loss(StepRandom(recipe.seed, number))
        gradients = tape.gradient(reached, [v.value for v in variables])
        optimizer.apply(gradients, variables)
        return reached

    for number in tf.range(recipe.steps):
        reached = step(number)
    if not np.isfinite(reached):
        raise RunError(
            f"the training of a measure diverged: its loss is {reached:.4g} after {recipe.steps:,} "
            "steps; see whether the features are finite and not huge, or leave the measure out of "
            "--measures"
        )
    optimizer.finalize_variable_values(variables)
