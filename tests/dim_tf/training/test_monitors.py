"""The record of a run."""

import json
import os
import signal

import pytest

from dim_tf.training import monitors


def steps_of(file):
    return [json.loads(line)["step"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize(("step", "kept"), [(0, []), (2, [1, 2]), (9, [1, 2, 3])])
def test_cut_back_keeps_each_step_once(tmp_path, step, kept):
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps({"step": s, "loss": 0.5}) + "\n" for s in (1, 2, 3)))
    monitors.cut_back(file, step)
    assert steps_of(file) == kept


def test_cut_back_drops_a_line_that_was_not_finished(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2, "lo')
    monitors.cut_back(file, 5)
    assert steps_of(file) == [1]


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


@pytest.mark.parametrize("damaged", ["5", "[]", '{"loss": 1}', '{"step": "2"}', '{"step": null}'])
def test_a_damaged_line_ends_the_metrics(tmp_path, damaged):
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"step": 1}}\n{damaged}\n{{"step": 3}}\n')
    assert monitors.read_metrics(file, 9) == [{"step": 1}]
    monitors.cut_back(file, 9)
    assert file.read_text() == '{"step": 1}\n'
