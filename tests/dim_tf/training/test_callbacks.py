"""The steps of a run, and its signals."""

import os
import signal

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
