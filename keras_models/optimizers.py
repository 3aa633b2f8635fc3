"""The optimizer of all models, the authors' Adam, and its schedules."""

from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from keras_models.nn.kernels import FusedAdam


def adam(
    learning_rate: float | LearningRateSchedule, name: str, weight_decay: float = 0.0
) -> FusedAdam:
    """The authors' optimizer: betas (0.5, 0.999), epsilon 1e-8 (Keras' default is 1e-7).

    Args:
        learning_rate: of each step.
        name: of the optimizer.
        weight_decay: λ of decoupled weight decay: before each step weights are multiplied by 1 -
            learning rate · λ, as Keras and PyTorch do it. In Loshchilov & Hutter 2019, algorithm 2,
            λ is multiplied by the schedule alone: its λ is ours times the learning rate. 0: none.
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
    """From the learning rate to 0 along half a cosine (Loshchilov & Hutter 2017, eq. 5).

    Args:
        learning_rate: the highest.
        steps: of all training.
        warmup: first steps, over which it rises linearly from 0; fewer than `steps`.

    Raises:
        ValueError: `warmup` is not fewer than `steps`.
    """
    if warmup >= steps:
        raise ValueError(f"{warmup} steps of warm-up do not fit into {steps} steps of training")
    begin = {"warmup_target": learning_rate, "warmup_steps": warmup} if warmup else {}
    initial = 0.0 if warmup else learning_rate
    return CosineDecay(initial, steps - warmup, **begin)
