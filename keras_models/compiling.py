"""Which arguments of Keras' `compile` and of its optimizers a model with its own step can obey."""

from typing import Any

import keras

_OF_A_LOSS = ("loss", "loss_weights", "metrics", "weighted_metrics")
_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")


def check_arguments(model: str, arguments: dict[str, Any]) -> None:
    """Raises ValueError at arguments of `compile` that are about labels and predictions."""
    for name in _OF_A_LOSS:
        if arguments.get(name) is not None:
            raise ValueError(
                f"compile({name}=...): {model} has an objective of its own, with its own metrics; "
                "leave it out"
            )


def check_weights(model: str, **weights: Any) -> None:
    """Raises ValueError at weights of examples or classes."""
    for name, value in weights.items():
        if value is not None:
            raise ValueError(
                f"{name}: the objective of {model} compares the images of a batch with each other, "
                "and has no weights of single ones; leave it out"
            )


def check_learning_rate(learning_rate: Any) -> None:
    """Raises ValueError at the name of an optimizer, which is Keras' first argument."""
    if isinstance(learning_rate, str | keras.optimizers.Optimizer):
        raise ValueError(
            f"compile({learning_rate!r}): the first argument is the learning rate; give "
            "compile(optimizer=..., adversary_optimizer=...)"
        )


def check_optimizers(main, adversary, replicas: int) -> None:
    """Raises ValueError at optimizers that would not do what they say.

    Args:
        main: of all but the adversary's variables.
        adversary: of those.
        replicas: how many train together.
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


def scaled(optimizer, name: str):
    """The optimizer with dynamic loss scaling around it, as Keras makes it for float16."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer, name=name)
