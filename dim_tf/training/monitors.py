"""Callbacks that watch a run: the record of its steps, checkpoints, NaN guard."""

import json
import math
import os
import socket
import time
import uuid
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dim_tf.ending import Signals
from dim_tf.errors import NotFinite
from dim_tf.files import open_to_append
from dim_tf.training.checkpoint import Checkpoints
from dim_tf.writing import writing


class Progress:
    """Where a run stands: shared by the callbacks.

    Attributes:
        step: how many steps the weights have seen.
        steps_per_epoch: of the data.
    """

    def __init__(self, step: int, steps_per_epoch: int):
        self.step = step
        self.steps_per_epoch = steps_per_epoch

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1."""
        return (self.step - 1) // self.steps_per_epoch + 1


class Recorder(keras.callbacks.Callback):
    """Counts steps, stops at a loss that is not finite, and writes metrics.jsonl and TensorBoard.

    Must be the first callback: it makes the logs plain numbers and adds images/s to them.

    Args:
        progress: counted on here.
        folder: the run's; None: nothing is written, another process does.
        batch_size: images in a step.
        log_every: steps between lines.
        steps_per_execution: steps between two calls; the logs are the last one's.
    """

    def __init__(
        self,
        progress: Progress,
        folder: Path | None,
        batch_size: int,
        log_every: int,
        steps_per_execution: int = 1,
    ):
        super().__init__()
        self._progress = progress
        self._batch_size = batch_size
        self._log_every = log_every
        self._steps_per_execution = steps_per_execution
        self._files = _Files(folder, progress.step) if folder else None

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_sums = {}
        self._epoch_steps = 0

    def on_train_batch_end(self, batch, logs=None):
        for name in logs:
            logs[name] = np.asarray(logs[name]).item()
        seconds = (time.perf_counter() - self._began) / self._steps_per_execution
        self._progress.step += self._steps_per_execution
        for name, value in logs.items():
            if not math.isfinite(value):
                raise NotFinite(f"step {self._progress.step}: {name} is {value}")
        logs["images_per_second"] = self._batch_size / seconds
        for name, value in logs.items():
            self._epoch_sums[name] = self._epoch_sums.get(name, 0.0) + value
        self._epoch_steps += 1
        if self._files and self._progress.step % self._log_every == 0:
            self._files.write(self._progress.step, self._progress.epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        # The progress bar and the history show the epoch's means, not its last step.
        logs.update({name: total / self._epoch_steps for name, total in self._epoch_sums.items()})

    def close(self):
        """Closes the files."""
        if self._files:
            self._files.close()


class _Files:
    """metrics.jsonl and TensorBoard's events of a run folder."""

    def __init__(self, folder: Path, step: int):
        self._folder = folder
        self._step = step
        with self._writing(step):
            _tell_tensorboard_of_start(folder / "tensorboard", step)
            self._lines = open_to_append(folder / "metrics.jsonl")
            # TensorFlow opens what bears the name, a link too: nobody shall know it before.
            end = f".{uuid.uuid4().hex}.v2"
            self._writer = tf.summary.create_file_writer(
                str(folder / "tensorboard"), filename_suffix=end
            )

    def write(self, step, epoch, logs):
        with self._writing(step):
            line = json.dumps({"step": step, "epoch": epoch, **logs}) + "\n"
            self._lines.write(line.encode())
            self._lines.flush()
            with self._writer.as_default(step):
                for name, value in logs.items():
                    tf.summary.scalar(name, value)
        self._step = step

    def close(self):
        with self._writing(self._step):
            try:
                self._lines.close()
            finally:
                self._writer.close()

    def _writing(self, step):
        return writing(
            f"metrics.jsonl or TensorBoard's events of step {step}",
            self._folder,
            "the checkpoints are intact; make room and give the same command again, which goes on "
            "from the last",
        )


def _tell_tensorboard_of_start(folder: Path, step: int) -> None:
    """The second and every later start make TensorBoard forget the steps after `step`."""
    folder.mkdir(exist_ok=True)
    now = time.time()
    started = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    # Files are read in the order of their names: this one before that of the events to come.
    name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}-start"
    name += f".{uuid.uuid4().hex}"  # TensorFlow would write through a link of a known name
    with tf.io.TFRecordWriter(str(folder / name)) as file:
        for event in (
            tf.compat.v1.Event(wall_time=now, file_version="brain.Event:2"),
            tf.compat.v1.Event(wall_time=now, step=step + 1, session_log=started),
        ):
            file.write(event.SerializeToString())


class Saver(keras.callbacks.Callback):
    """Saves a checkpoint every `every` steps and when a signal asks to stop.

    Args:
        progress: of the run.
        checkpoints: to save to.
        every: steps.
        signals: asks to stop.
    """

    def __init__(self, progress: Progress, checkpoints: Checkpoints, every: int, signals: Signals):
        super().__init__()
        self._progress = progress
        self._checkpoints = checkpoints
        self._every = every
        self._signals = signals
        self._saved = progress.step

    def on_train_batch_end(self, batch, logs=None):
        if self._signals.received or self._progress.step % self._every == 0:
            self.save()
        if self._signals.received:
            self.model.stop_training = True

    def save(self):
        """Saves this step, if it is not saved yet."""
        if self._saved != self._progress.step:
            self._checkpoints.save(self._progress.step)
            self._saved = self._progress.step
