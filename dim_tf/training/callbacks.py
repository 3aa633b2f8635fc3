"""Keras callbacks of a run: metrics.jsonl, checkpoints, the check for NaN.

Keras' own callbacks lack what a run needs that may stop anywhere and resumes exactly: CSVLogger
does not cut its file back to the step from which training resumes, nor report a full disk in one
line. ModelCheckpoint saves by epoch or batch, not when a signal asks to stop. TerminateOnNaN stops
as if training were done. The progress bar is Keras'.
"""

import json
import math
import time
from pathlib import Path

import keras
import numpy as np

from dim_tf.system.errors import NonFiniteError
from dim_tf.system.files import open_for_appending
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.signals import StopSignal
from dim_tf.training.checkpoints import Checkpoints


class StepCounter:
    """The current step of a run, which `MetricsLogger` counts for the other callbacks.

    Attributes:
        step: Number of steps for which the weights have been trained.
        steps_per_epoch: Steps per epoch of the data.
    """

    def __init__(self, step: int, steps_per_epoch: int):
        self.step = step
        self.steps_per_epoch = steps_per_epoch

    @property
    def epoch(self) -> int:
        """The epoch of the last step, counted from 1."""
        return (self.step - 1) // self.steps_per_epoch + 1


class MetricsLogger(keras.callbacks.Callback):
    """Counts steps, stops at a loss that is not finite, and writes metrics.jsonl.

    Must be the first callback: it turns the logs into plain numbers and adds images per second.

    Args:
        counter: The counter, which is advanced here.
        folder: The run folder; None: nothing is written because another process does.
        batch_size: Images per step, over all replicas.
        log_every: Steps between lines.
        steps_per_execution: Steps between two calls; the logs are those of the last step.
    """

    def __init__(
        self,
        counter: StepCounter,
        folder: Path | None,
        batch_size: int,
        log_every: int,
        steps_per_execution: int = 1,
    ):
        super().__init__()
        self._counter = counter
        self._batch_size = batch_size
        self._log_every = log_every
        self._steps_per_execution = steps_per_execution
        self._file = _MetricsFile(folder, counter.step) if folder else None

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_sums = {}
        self._epoch_steps = 0

    def on_train_batch_end(self, batch, logs=None):
        for name in logs:
            logs[name] = np.asarray(logs[name]).item()
        seconds = (time.perf_counter() - self._began) / self._steps_per_execution
        self._counter.step += self._steps_per_execution
        for name, value in logs.items():
            if not math.isfinite(value):
                raise NonFiniteError(f"step {self._counter.step}: {name} is {value}")
        logs["images_per_second"] = self._batch_size / seconds
        for name, value in logs.items():
            self._epoch_sums[name] = self._epoch_sums.get(name, 0.0) + value
        self._epoch_steps += 1
        if self._file and self._counter.step % self._log_every == 0:
            self._file.write(self._counter.step, self._counter.epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        # The progress bar and the history show the mean of an epoch, not its last step.
        logs.update({name: total / self._epoch_steps for name, total in self._epoch_sums.items()})

    def close(self):
        """Closes the file."""
        if self._file:
            self._file.close()


class _MetricsFile:
    """metrics.jsonl of a run folder."""

    def __init__(self, folder: Path, step: int):
        self._folder = folder
        self._step = step
        with self._translate_write_errors(step):
            self._lines = open_for_appending(folder / "metrics.jsonl")

    def write(self, step, epoch, logs):
        with self._translate_write_errors(step):
            line = json.dumps({"step": step, "epoch": epoch, **logs}) + "\n"
            self._lines.write(line.encode())
            self._lines.flush()
        self._step = step

    def close(self):
        with self._translate_write_errors(self._step):
            self._lines.close()

    def _translate_write_errors(self, step):
        return translate_write_errors(
            f"the line of step {step} in metrics.jsonl",
            self._folder,
            "the checkpoints are intact; make room and give the same command again, which goes on "
            "from the last",
        )


class CheckpointCallback(keras.callbacks.Callback):
    """Saves a checkpoint every `every` steps, and when a signal asks to stop.

    Args:
        counter: Counter of the run's steps.
        checkpoints: Where they are saved.
        every: Steps between checkpoints.
        stop_signal: The signal that asks to stop.
    """

    def __init__(
        self,
        counter: StepCounter,
        checkpoints: Checkpoints,
        every: int,
        stop_signal: StopSignal,
    ):
        super().__init__()
        self._counter = counter
        self._checkpoints = checkpoints
        self._every = every
        self._stop_signal = stop_signal
        self._saved_step = counter.step

    def on_train_batch_end(self, batch, logs=None):
        if self._stop_signal.received or self._counter.step % self._every == 0:
            self.save()
        if self._stop_signal.received:
            self.model.stop_training = True

    def save(self, again: bool = False):
        """Saves this step, unless it is already saved.

        Args:
            again: Whether to save it even then.
        """
        if again or self._saved_step != self._counter.step:
            self._checkpoints.save(self._counter.step)
            self._saved_step = self._counter.step
