"""Checks of the arguments of `compile`: which ones a model with its own training step supports."""

from typing import Any

import keras

_LOSS_ARGUMENTS = ("loss", "loss_weights", "metrics", "weighted_metrics")
_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")


def check_arguments(model: str, arguments: dict[str, Any]) -> None:
    """Raises ValueError for arguments of `compile` that are about labels and predictions."""
    for name in _LOSS_ARGUMENTS:
        if arguments.get(name) is not None:
            raise ValueError(
                f"compile({name}=...): {model} has an objective of its own, with its own metrics; "
                "leave it out"
            )


def check_weights(model: str, **weights: Any) -> None:
    """Raises ValueError for weights of examples or classes."""
    for name, value in weights.items():
        if value is not None:
            raise ValueError(
                f"{name}: the objective of {model} compares the images of a batch with each other, "
                "and has no weights of single ones; leave it out"
            )


def check_learning_rate(learning_rate: Any) -> None:
    """Raises ValueError if the learning rate is an optimizer, which is Keras' first argument."""
    if isinstance(learning_rate, str | keras.optimizers.Optimizer):
        raise ValueError(
            f"compile({learning_rate!r}): the first argument is the learning rate; give "
            "compile(optimizer=..., adversary_optimizer=...)"
        )


def check_optimizers(main, adversary, replicas: int) -> None:
    """Raises ValueError for optimizers that would not work as configured.

    Args:
        main: Optimizer of all variables except the adversary's.
        adversary: Optimizer of the adversary's variables.
        replicas: Number of replicas that train together.
    """
    if main is adversary:
        raise ValueError("optimizer and adversary_optimizer are one object; make two of them")
    for name, optimizer in (("optimizer", main), ("adversary_optimizer", adversary)):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner.use_ema:
            raise ValueError(
                f"{name}: use_ema=True; Keras would put the averages of one optimizer into the "
                "variables of both, so it is not supported; leave it out"
            )
        clipped = [x for x in _CLIPPING if getattr(inner, x) is not None]
        if clipped and replicas > 1:
            raise ValueError(
                f"{name}: {clipped[0]} on {replicas} replicas; Keras clips each replica's part of "
                "the gradient before they are added up, which is another step than on one device; "
                "leave it out, or train on one"
            )


def check_backbone(
    has_backbone: bool, frozen_steps: int, steps_per_execution: int, scale: float, optimizer
) -> None:
    """Raises ValueError for settings of a backbone that cannot be applied.

    Args:
        has_backbone: Whether the encoder has a backbone.
        frozen_steps: Number of steps at the start in which it is frozen.
        steps_per_execution: Argument of `compile`.
        scale: Factor of its learning rate.
        optimizer: Main optimizer; None: the default.
    """
    for name, value in (("frozen_steps", frozen_steps), ("backbone_learning_rate_scale", scale)):
        if value < 0:
            raise ValueError(f"{name}={value}; expected at least 0")
    if (frozen_steps or scale != 1) and not has_backbone:
        raise ValueError(
            "frozen_steps and backbone_learning_rate_scale take effect with a backbone only, such "
            "as that of BackboneEncoder; leave them out"
        )
    if frozen_steps % steps_per_execution:
        raise ValueError(
            f"frozen_steps={frozen_steps} is not a multiple of steps_per_execution="
            f"{steps_per_execution}; nothing can be done between its steps"
        )
    if scale != 1 and optimizer is not None:
        raise ValueError(
            "backbone_learning_rate_scale takes effect with the default optimizer only; leave it "
            "or optimizer out"
        )


def with_loss_scaling(optimizer, name: str):
    """Wraps an optimizer in dynamic loss scaling, as Keras does for float16."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer, name=name)
