"""The optimizer of all models, the authors' Adam, and its schedules."""

from typing import Any

import keras
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from keras_models.nn.kernels import FusedAdam


def adam(
    learning_rate: float | LearningRateSchedule, name: str, weight_decay: float = 0.0
) -> FusedAdam:
    """The authors' optimizer: betas (0.5, 0.999), epsilon 1e-8 (Keras' default is 1e-7).

    Args:
        learning_rate: Learning rate, or its schedule.
        name: Name of the optimizer.
        weight_decay: λ of decoupled weight decay: each step first multiplies weights by 1 -
            learning rate · λ, as in Keras and PyTorch. In algorithm 2 of Loshchilov & Hutter 2019
            only the schedule multiplies λ, so their λ is this one times the learning rate. 0: none.
    """
    return FusedAdam(
        learning_rate,
        beta_1=0.5,
        beta_2=0.999,
        epsilon=1e-8,
        weight_decay=weight_decay or None,
        name=name,
    )


def cosine(learning_rate: float, steps: int, warmup: int = 0) -> LearningRateSchedule:
    """Half a cosine from the learning rate to 0 (Loshchilov & Hutter 2017, eq. 5).

    Args:
        learning_rate: The highest learning rate.
        steps: Steps of the whole training.
        warmup: Number of steps at the start in which it rises linearly from 0; fewer than `steps`.

    Raises:
        ValueError: `warmup` is not less than `steps`.
    """
    if warmup >= steps:
        raise ValueError(f"{warmup} steps of warm-up do not fit into {steps} steps of training")
    begin = {"warmup_target": learning_rate, "warmup_steps": warmup} if warmup else {}
    initial = 0.0 if warmup else learning_rate
    return CosineDecay(initial, steps - warmup, **begin)


def inner(optimizer: keras.optimizers.Optimizer) -> Any:
    """The optimizer itself, or the one inside a `LossScaleOptimizer`."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def build(optimizer: keras.optimizers.Optimizer, variables: list, weight_decay: bool) -> None:
    """Builds an optimizer unless it is built.

    Args:
        optimizer: The optimizer.
        variables: Variables that it trains.
        weight_decay: Whether the optimizer has weight decay, from which vectors (biases, scales of
            norms) are excluded.
    """
    if optimizer.built:
        return
    if weight_decay:  # the inner optimizer's: a LossScaleOptimizer has none
        inner(optimizer).exclude_from_weight_decay([v for v in variables if len(v.shape) < 2])
    optimizer.build(variables)


def steps_taken(optimizer: keras.optimizers.Optimizer):
    """Number of training steps; with accumulated gradients there are more steps than updates."""
    main = inner(optimizer)
    return main.variables[0] if main.gradient_accumulation_steps else main.iterations
