"""What an experiment leaves to the data and the machine: batch, rate, precision and length.

It is chosen once, before the first step, and kept in experiment.json, from which a run that resumes
takes it.
"""

import dataclasses
import math
import time
from datetime import datetime, timedelta
from typing import Any

import tensorflow as tf

from dim_tf.data import pipeline
from dim_tf.data.splits import Splits
from dim_tf.experiment import Experiment
from dim_tf.settings.encoder import AUTO
from dim_tf.settings.training import AUTOMATIC
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.training import (
    begun_experiment,
    encoder_config,
    precision,
    speed,
    start_weights,
    strategy,
)
from dim_tf.training.model import check_input_scaling, check_same_experiment
from dim_tf.training.schedule import last_step, training_split
from keras_models.encoders import backbone_weights, keras_file

# With 256 images a contrastive loss has 255 negatives for each; more did not help in
# docs/EXPERIMENTS.md. Small data sets get a smaller batch, so that an epoch has enough steps.
LARGEST_BATCH, SMALLEST_BATCH = 256, 32
STEPS_AN_EPOCH = 20
LEARNING_RATE = 1e-3  # for a batch of 256
BACKBONE_LEARNING_RATE = 1e-4  # for a Keras model that is trained from the first step
FROZEN_FRACTION = 0.8  # of the steps, if its weights are pretrained: docs/EXPERIMENTS.md
_MEASURED_FRACTION, _MOST_MEASURED = 0.04, 30.0  # of --minutes; seconds
_OVERRUN = 1.2  # times the expected length, beyond which it is mentioned


def resolve(experiment: Experiment, splits: Splits, devices: tf.distribute.Strategy) -> Experiment:
    """The experiment with everything that training chooses, and with the steps of --minutes.

    A batch size of 0 becomes 256, a half or a quarter of it and so on, such that an epoch has at
    least 20 steps, but not less than 32. A learning rate of 0 becomes 1e-3 times the square root of
    the batch size over 256, the rule for Adam (Malladi et al. 2022,
    https://arxiv.org/abs/2205.10287), or 1e-4 for a Keras model that is trained from the first
    step. A pretrained Keras model is frozen for four fifths of the steps and keeps its batch norms.
    `precision` and `speed` have the rest.

    Args:
        experiment: The settings.
        splits: The data.
        devices: The devices that will train.

    Returns:
        The experiment itself if nothing has to be chosen. `automatic` names what was chosen.

    Raises:
        InputError: The run's experiment.json cannot be read, --minutes is too short, or settings do
            not fit the data.
        Stopped: SIGTERM or SIGINT arrived.
    """
    began = time.monotonic()
    if experiment.training.resume:
        experiment = recorded(experiment)
    pending = _pending(experiment)
    has_begun = experiment.training.resume and encoder_config.read(experiment.run_path)
    if {"precision", "steps"} & set(pending) and not has_begun:
        check_input_scaling(experiment)  # before anything is measured in vain
    is_pretrained = bool({"backbone_batch_norm", "frozen_steps"} & set(pending)) and (
        _has_pretrained_backbone(experiment)
    )
    will_freeze = is_pretrained and "frozen_steps" in pending
    if "batch_size" in pending:
        images = len(training_split(experiment, splits))
        parts = devices.num_replicas_in_sync * experiment.training.micro_batches
        experiment = _choose(experiment, batch_size=batch_size(images, parts))
        steps = pipeline.steps_per_epoch(images, experiment.training.batch_size)
        say(
            f"train: --batch_size=0 is {experiment.training.batch_size}: {images:,} training "
            f"images, {steps:,} step{'s' * (steps != 1)} an epoch"
        )
    if "learning_rate" in pending:
        experiment = _choose_learning_rate(experiment, will_freeze)
    if "backbone_batch_norm" in pending:
        experiment = _choose(experiment, backbone_batch_norm="frozen" if is_pretrained else "train")
        say(f"train: --backbone_batch_norm=auto is {experiment.encoder.backbone_batch_norm}")
    if "precision" in pending:
        experiment = _choose(experiment, precision=_choose_precision(devices))
    if "steps" in pending:
        if experiment.training.resume:
            check_same_experiment(experiment, splits)  # before the speed is measured in vain
        fraction = FROZEN_FRACTION if will_freeze else 0.0
        experiment = _with_steps(experiment, splits, devices, began, fraction)
    if "frozen_steps" in pending:
        experiment = _choose_frozen_steps(experiment, splits, will_freeze)
    return experiment


def recorded(experiment: Experiment) -> Experiment:
    """The experiment with the choices in its run folder's experiment.json, if there is one.

    With another value of --minutes the number of steps changes in proportion.

    Raises:
        InputError: The file cannot be read.
    """
    pending = _pending(experiment)
    begun = begun_experiment.read(experiment.run_path) if pending else None
    if begun is None:
        return experiment
    chosen = begun.to_dict()
    names = [name for name in pending if name != "steps" and chosen[name] != AUTOMATIC[name]]
    if names:
        experiment = _choose(experiment, **{name: chosen[name] for name in names})
    if "steps" in pending and begun.training.minutes and begun.training.steps:
        ratio = experiment.training.minutes / begun.training.minutes
        execution = experiment.training.steps_per_execution
        steps = max(execution, round(begun.training.steps * ratio) // execution * execution)
        experiment = experiment.replace(steps=steps)
    return experiment


def of_trained(experiment: Experiment) -> Experiment:
    """The experiment of a run that has been trained, with what its training chose.

    Raises:
        InputError: Its experiment.json cannot be read, or is missing but needed.
    """
    experiment = recorded(experiment)
    pending = _pending(experiment)
    if pending and not experiment.evaluation.encoder_path:
        name = "minutes" if "steps" in pending else pending[0]
        begun = begun_experiment.read(experiment.run_path)
        if begun and name == "minutes" and not begun.training.minutes:
            steps, epochs = begun.training.steps, begun.training.epochs
            length = f"--steps={steps}" if steps else f"--epochs={epochs}"
            raise InputError(
                f"{experiment.run_path} was trained by {length}, and not by --minutes="
                f"{experiment.training.minutes:g}; give the flags of its training, as {length}"
            )
        raise InputError(
            f"{experiment.run_path / 'experiment.json'}, which says what training chose for "
            f"--{name}, is missing or of another run; put a copy back, or give the flags of its "
            "training"
        )
    return experiment


def describe(experiment: Experiment) -> dict[str, Any]:
    """What training was asked to choose, for the report and the card; nothing else.

    "minutes" is the value of --minutes; "automatic" names the flags whose values were chosen.
    """
    asked = {"minutes": experiment.training.minutes, "automatic": ", ".join(experiment.automatic)}
    return {name: value for name, value in asked.items() if value}


def say_overrun(experiment: Experiment, seconds: float, first_step: int) -> None:
    """Prints that training has taken much longer than --minutes, if it has.

    Args:
        experiment: The settings, as `resolve` returned them.
        seconds: The time that training has taken since `first_step`.
        first_step: 0, or the step from which it resumed.
    """
    if not experiment.training.minutes:
        return
    steps = experiment.training.steps
    expected = experiment.training.minutes * max(0, steps - first_step) / steps
    if seconds > 60 * expected * _OVERRUN and first_step < steps:
        say(
            f"train: it took {seconds / 60:.1f} minutes and not {expected:.1f}: the machine was "
            "slower than when the speed was measured"
        )


def batch_size(images: int, parts: int = 1) -> int:
    """The batch size for that number of training images.

    Args:
        images: Number of images in an epoch.
        parts: Replicas times micro-batches, each of which needs as many images, at least two.
    """
    size = LARGEST_BATCH
    while size > SMALLEST_BATCH and images // size < STEPS_AN_EPOCH:
        size //= 2
    size = min(size, images)
    return max(size - size % parts, 2 * parts)


def learning_rate(batch_size: int) -> float:
    """The learning rate for that batch size, to three digits."""
    return float(f"{LEARNING_RATE * math.sqrt(batch_size / LARGEST_BATCH):.3g}")


def _pending(experiment: Experiment) -> list[str]:
    """The settings that are still to be chosen: flags of `AUTOMATIC`, and "steps"."""
    values = experiment.to_dict()
    names = [name for name, value in AUTOMATIC.items() if values[name] == value]
    has_steps = experiment.training.steps or not experiment.training.minutes
    return names if has_steps else [*names, "steps"]


def _choose(experiment: Experiment, **values: Any) -> Experiment:
    automatic = {*experiment.automatic, *values}
    return dataclasses.replace(
        experiment.replace(**values),
        automatic=tuple(name for name in AUTOMATIC if name in automatic),
    )


def _has_pretrained_backbone(experiment: Experiment) -> bool:
    """Whether the encoder is a Keras model with trained weights, whatever they were trained on.

    Raises:
        InputError: Its file cannot be loaded.
    """
    encoder = experiment.encoder
    if not encoder.is_backbone or not start_weights.begins_pretrained(experiment):
        return False
    if encoder.weights != AUTO or "encoder" not in encoder.files:
        return True
    try:
        model = keras_file.load_or_value_error(str(encoder.files["encoder"]))
    except ValueError as error:
        raise InputError(f"--encoder={encoder.name}: {error}") from error
    return backbone_weights.look_trained(model)


def _choose_learning_rate(experiment, will_freeze):
    if experiment.encoder.is_backbone and not (will_freeze or experiment.encoder.frozen_steps > 0):
        say(
            f"train: --learning_rate=0 is {BACKBONE_LEARNING_RATE:g}: a Keras model is trained "
            "from the first step"
        )
        return _choose(experiment, learning_rate=BACKBONE_LEARNING_RATE)
    size = experiment.training.batch_size
    rate = learning_rate(size)
    say(f"train: --learning_rate=0 is {rate:g}: {LEARNING_RATE:g} * sqrt({size} / 256)")
    return _choose(experiment, learning_rate=rate)


def _choose_frozen_steps(experiment, splits, will_freeze):
    if not will_freeze:
        say("train: --frozen_steps=-1 is 0: the Keras model's weights are not pretrained")
        return _choose(experiment, frozen_steps=0)
    execution, last = experiment.training.steps_per_execution, last_step(experiment, splits)
    frozen = int(FROZEN_FRACTION * last) // execution * execution
    say(
        f"train: --frozen_steps=-1 is {frozen:,} of {last:,} steps: the Keras model's weights are "
        "pretrained"
    )
    return _choose(experiment, frozen_steps=frozen)


def _choose_precision(devices) -> str:
    """Chooses by a measurement of this process; with several workers, of the chief."""
    names = list(precision.POLICIES)
    is_chief = strategy.is_chief(devices)
    choice = names.index(precision.choose()) if is_chief else 0
    if not strategy.is_multi_worker(devices):
        return names[choice]
    chiefs = strategy.mean_over_replicas(devices, float(is_chief))
    return names[round(strategy.mean_over_replicas(devices, float(choice)) / chiefs)]


def _with_steps(experiment, splits, devices, began, frozen_fraction) -> Experiment:
    """The experiment with the steps that fit into what is left of --minutes since `began`."""
    minutes, execution = experiment.training.minutes, experiment.training.steps_per_execution
    images = len(training_split(experiment, splits))
    per_epoch = pipeline.steps_per_epoch(images, experiment.training.batch_size)
    say("train: the speed is measured")
    seconds = min(_MEASURED_FRACTION * 60 * minutes, _MOST_MEASURED)
    frozen_steps = max(0, experiment.encoder.frozen_steps)
    freezes = bool(frozen_fraction or frozen_steps)
    measured = speed.measure(experiment, splits, devices, seconds, freezes)
    left = began + 60 * minutes - time.monotonic()
    every = experiment.training.checkpoint_every
    steps = measured.steps_in(left, every, frozen_steps, frozen_fraction) // execution * execution
    least = max(execution, experiment.training.warmup_steps + 1)
    if steps < least:
        need = 60 * minutes - left + measured.setup + measured.checkpoint + least * measured.step
        raise InputError(
            f"--minutes={minutes:g} is too short: {need / 60:.1f} minutes are needed here, to read "
            f"the images and measure the speed, {measured.setup:.0f} s to begin training, and "
            f"{measured.step:.3g} s for each step, of which at least {least} must be made; give "
            f"--minutes={math.ceil(need / 60)} or more"
        )
    epochs = max(1, round(steps / per_epoch))
    say(
        f"train: {steps:,} steps in about {minutes:g} minute{'s' * (minutes != 1)}, "
        f"until {_clock(left)}; "
        f"--epochs={epochs} would be {epochs * per_epoch:,} steps"
    )
    return experiment.replace(steps=min(steps, 2**31 - 1))


def _clock(seconds: float) -> str:
    """The local time in that many seconds, with the date if it is another day."""
    now = datetime.now()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M}"
