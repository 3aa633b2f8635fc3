"""How fast an experiment trains on this machine, measured for --minutes.

A trial is measured: the experiment's own training, with its data, metrics and checkpoint, but with
a model and a folder that are thrown away. So measuring does not change what training computes: the
run starts from the same weights and random numbers as a run with that many --steps. The first steps
of the run itself could not be used: with a cosine schedule, the learning rate depends on the length
from the first step on, and is a part of the compiled step.
"""

import gc
import shutil
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data.splits import Splits
from dim_tf.experiment import Experiment
from dim_tf.system import console, process_state
from dim_tf.system.files import make_folder, temporary_path
from dim_tf.system.signals import Stopped
from dim_tf.training import loop

_BLOCKS = 8
_FEWEST_CALLS = 6
_SETTLING = 0.25  # fraction of the time, left out: batches prepared during compilation are used up
_FOREVER = 10**9  # steps
_TINY_RATE = 1e-9  # with which no trial diverges, whatever the warm-up of the run


class Speed(NamedTuple):
    """How long parts of training take, in seconds.

    Attributes:
        setup: From the call to the end of the first step: creating the model, compiling the step.
        step: A later step.
        checkpoint: A checkpoint.
        frozen_step: A step in which the backbone is frozen; 0 if there is none.
    """

    setup: float
    step: float
    checkpoint: float
    frozen_step: float = 0.0

    def steps_in(
        self,
        seconds: float,
        checkpoint_every: int,
        frozen_steps: int = 0,
        frozen_fraction: float = 0.0,
    ) -> int:
        """The number of steps in a run that takes `seconds` from its call to its last checkpoint.

        Args:
            seconds: Length of the run.
            checkpoint_every: Steps from one checkpoint to the next.
            frozen_steps: Number of steps at the start in which the backbone is frozen.
            frozen_fraction: Fraction of the steps, used instead of `frozen_steps`.
        """
        left = seconds - self.setup - self.checkpoint
        saving = self.checkpoint / checkpoint_every
        frozen, step = self.frozen_step + saving, self.step + saving
        if frozen_fraction:
            mean = frozen_fraction * frozen + (1 - frozen_fraction) * step
            return max(0, int(left / mean))
        if frozen_steps * frozen >= left:
            return max(0, int(left / (frozen if frozen_steps else step)))
        return frozen_steps + int((left - frozen_steps * frozen) / step)


def measure(
    experiment: Experiment,
    splits: Splits,
    devices: tf.distribute.Strategy,
    seconds: float,
    freezes: bool = False,
) -> Speed:
    """Trains a trial for about `seconds` after its first step, and discards it.

    Args:
        experiment: The settings; only its length and `frozen_steps` may be missing.
        splits: The data.
        devices: The devices that will train.
        seconds: How long steps are timed.
        freezes: Whether the backbone will be frozen first. Then two trials take half of the time
            each, and the setup is that of both, because a training function is compiled for each.

    Raises:
        InputError: As for `loop.train`.
        RunError: As for `loop.train`.
        Stopped: SIGTERM or SIGINT arrived.
    """
    if freezes:
        frozen = _measure(experiment, splits, devices, seconds / 2, _FOREVER)
        trained = _measure(experiment, splits, devices, seconds / 2, 0)
        return trained._replace(setup=frozen.setup + trained.setup, frozen_step=frozen.step)
    return _measure(experiment, splits, devices, seconds, 0)


def _measure(experiment, splits, devices, seconds, frozen_steps) -> Speed:
    folder = temporary_path(experiment.run_path / "trial")  # which the run's lock removes if killed
    make_folder(folder, "--run_dir")
    timer = _Timer(seconds)
    began = time.perf_counter()
    try:
        with process_state.preserved(), console.quiet():
            loop.train(_trial(experiment, folder, frozen_steps), splits, devices, [timer])
        ended = time.perf_counter()
    except Stopped as error:
        raise Stopped("stopped while the speed was measured, before the first step") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    gc.collect()  # the trial's model, before there is another
    return Speed(
        setup=timer.ends[0] - began,
        step=_median_of_blocks(timer.ends, seconds) / experiment.training.steps_per_execution,
        checkpoint=ended - timer.trained,
    )


def _trial(experiment: Experiment, folder: Path, frozen_steps: int) -> Experiment:
    execution = experiment.training.steps_per_execution
    is_tracked = "tensorboard" in experiment.training.tracker_names
    return experiment.replace(
        run_dir=str(folder),
        epochs=10**6,
        schedule="constant",
        warmup_steps=0,
        warmup_fraction=0.0,
        learning_rate=_TINY_RATE,
        frozen_steps=frozen_steps // execution * execution,
        checkpoint_every=_FOREVER // execution * execution,
        track="tensorboard" if is_tracked else "none",
        on_nan="stop",
        resume=True,
    )


class _Timer(keras.callbacks.Callback):
    """Ends training after some seconds and calls.

    Attributes:
        ends: When each call of the training function ended, in seconds.
        trained: When training ended, in seconds.
    """

    def __init__(self, seconds: float):
        super().__init__()
        self._seconds = seconds
        self.ends: list[float] = []
        self.trained = 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())
        if self.ends[-1] - self.ends[0] >= self._seconds and len(self.ends) > _FEWEST_CALLS:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.trained = time.perf_counter()


def _median_of_blocks(ends: list[float], seconds: float) -> float:
    """The seconds of a call: the median over blocks of calls, each of which is a mean.

    Data are read for several steps at a time, so there are two kinds of single calls.

    Args:
        ends: When each call had ended, in seconds.
        seconds: Length of the whole, the first `_SETTLING` of which is left out.
    """
    settled = [end for end in ends if end - ends[0] >= _SETTLING * seconds]
    ends = settled if len(settled) > _FEWEST_CALLS // 2 else ends[-_FEWEST_CALLS:]
    durations = [after - before for before, after in pairwise(ends)]
    blocks = np.array_split(durations, min(_BLOCKS, len(durations)))
    return statistics.median(float(np.mean(block)) for block in blocks)
