"""The record of a run."""

import os
import signal

from dim_tf.training import monitors


def test_epochs_count_from_1():
    progress = monitors.Progress(0, steps_per_epoch=3)
    epochs = []
    for step in range(1, 8):
        progress.step = step
        epochs.append(progress.epoch)
    assert epochs == [1, 1, 1, 2, 2, 2, 3]


def test_a_signal_is_noted_and_the_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with monitors.Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
