"""The record of a run."""

import os
import signal
import time

import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from dim_tf.system.signals import StopSignal
from dim_tf.training import callbacks


def test_epochs_count_from_1():
    progress = callbacks.StepCounter(0, steps_per_epoch=3)
    epochs = []
    for step in range(1, 8):
        progress.step = step
        epochs.append(progress.epoch)
    assert epochs == [1, 1, 1, 2, 2, 2, 3]


def test_a_signal_is_noted_and_the_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path):
    for begin in (0, 2):
        files = callbacks._LogFiles(tmp_path, begin)
        for step in range(begin + 1, 5):
            files.write(step, 1, {"loss": 0.5 + begin})
        files.close()
        time.sleep(1.1)  # the files are ordered by their second
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [
        (event.step, tf.make_ndarray(event.tensor_proto).item()) for event in events.Tensors("loss")
    ]
    assert losses == [(1, 0.5), (2, 0.5), (3, 2.5), (4, 2.5)]
