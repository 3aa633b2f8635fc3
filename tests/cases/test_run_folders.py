"""A run folder that others may write to: links, FIFOs and devices in the place of its files."""

import os
import signal
import socket
from types import SimpleNamespace

import pytest
import tensorflow as tf

from dim_tf.data.folder import report
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.json_files import read_json
from dim_tf.system.locks import locked_folder
from dim_tf.tables.leases import LeaseFolder
from dim_tf.tables.run_folder import StageSeconds
from dim_tf.training import callbacks, checkpoint_files, data_fingerprint, metrics_file, trackers
from dim_tf.training.model import check_same_experiment
from dim_tf.training.nan_restores import NanRestores


@pytest.fixture(autouse=True)
def bounded():
    """What waits for ever fails after five seconds."""

    def too_long(*_):
        raise TimeoutError("it waits for ever")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


def lock(folder):
    with locked_folder(folder, "--run_dir"):
        pass


def test_a_lock_that_is_a_link_does_not_empty_its_target(folder, victim):
    (folder / ".lock").symlink_to(victim)
    with pytest.raises(InputError, match=r"cannot be written \(.lock: it is a link\)"):
        lock(folder)


def test_a_lock_that_is_a_link_to_nowhere_makes_nothing(folder, tmp_path):
    (folder / ".lock").symlink_to(tmp_path / "new")
    with pytest.raises(InputError, match="it is a link"):
        lock(folder)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_a_lock_that_is_no_file_is_refused(folder, kind):
    os.mkfifo(folder / ".lock") if kind == "fifo" else (folder / ".lock").mkdir()
    with pytest.raises(InputError, match=r"\.lock: (it is no regular file|Is a directory)"):
        lock(folder)


def recorded(folder, step=0):
    recorder = callbacks.MetricsLogger(callbacks.StepCounter(step, 10), folder, 4, log_every=1)
    recorder.on_epoch_begin(0)
    recorder.on_train_batch_begin(0)
    recorder.on_train_batch_end(0, {"loss": 1.0})
    recorder.close()


@pytest.mark.parametrize("exists", [True, False])
def test_metrics_are_not_appended_through_a_link(folder, victim, tmp_path, exists):
    target = victim if exists else tmp_path / "new"
    (folder / "metrics.jsonl").symlink_to(target)
    with pytest.raises(RunError, match="it is a link"):
        recorded(folder)
    assert target.exists() == exists
    metrics_file.truncate_after(folder / "metrics.jsonl", 0)  # as each start does
    recorded(folder)
    assert [line["step"] for line in metrics_file.read(folder / "metrics.jsonl")] == [1]


def test_metrics_that_are_a_fifo_are_refused(folder):
    os.mkfifo(folder / "metrics.jsonl")
    with pytest.raises(RunError, match="it is no regular file"):
        recorded(folder)


def test_events_are_not_written_through_a_link_of_a_name_that_can_be_foreseen(
    folder, victim, monkeypatch
):
    monkeypatch.setattr(trackers, "time", SimpleNamespace(time=lambda: 7.0))
    tensorboard = folder / "tensorboard"
    tensorboard.mkdir()
    name = f"events.out.tfevents.{7:010d}.{socket.gethostname()}.{os.getpid()}-start"
    (tensorboard / name).symlink_to(victim)
    trackers._purge_later_steps(tensorboard, 3)
    assert len(list(tensorboard.iterdir())) == 2


def test_no_name_of_events_is_used_twice(folder, monkeypatch):
    """TensorFlow's own name is the time, the machine, the process and a number."""
    names = []
    make = tf.summary.create_file_writer

    def making(path, **settings):
        names.append(settings["filename_suffix"])
        return make(path, **settings)

    monkeypatch.setattr(tf.summary, "create_file_writer", making)
    for step in (0, 1):
        experiment = Experiment.of(name="a", run_dir=str(folder))
        trackers.TensorBoard(experiment, callbacks.StepCounter(step, 10)).close()
    assert len(set(names)) == 2
    assert all(len(name) > 32 and name.endswith(".v2") for name in names)
    assert len(list((folder / "tensorboard").glob("*.v2"))) == 2


READERS = {
    "experiment.json": lambda path: check_same_experiment(
        Experiment.of(name="a", run_dir=str(path.parent)), None
    ),
    "evaluation.json": lambda path: read_json(path, "run it again"),
    "metrics.jsonl": metrics_file.read,
    "nan_restores.json": lambda path: NanRestores(path.parent, 0, 3),
    "seconds.json": lambda path: StageSeconds(path).read(),
    "row.lease1": lambda path: LeaseFolder(path.parent).acquire("row"),
    "ckpt-3.json": lambda path: checkpoint_files.newest_intact(path.parent),
    "ckpt-3.index": lambda path: checkpoint_files.newest_intact(path.parent),
}


@pytest.mark.parametrize("kind", ["fifo", "endless"])
@pytest.mark.parametrize("name", READERS)
def test_only_regular_files_are_read(folder, name, kind):
    path = folder / name
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("/dev/zero")
    with pytest.raises((InputError, RunError, OSError), match="no regular file"):
        READERS[name](path)


@pytest.mark.parametrize("kind", ["fifo", "endless"])
def test_data_files_that_are_no_regular_files_count_as_damaged(folder, kind, capsys):
    for name in (data_fingerprint.FILE, report.SUMMARY_FILE):
        path = folder / name
        os.mkfifo(path) if kind == "fifo" else path.symlink_to("/dev/zero")
    assert data_fingerprint.read(folder) == data_fingerprint.DataFingerprint()
    assert report._read_summary(folder) == {}
    said = capsys.readouterr().out
    for name in (data_fingerprint.FILE, report.SUMMARY_FILE):
        assert f"{name} is damaged" in said


def test_a_log_of_a_tables_row_is_not_appended_through_a_link(folder, victim):
    from dim_tf.system.files import open_for_appending

    (folder / "row.txt").symlink_to(victim)
    with pytest.raises(OSError, match="it is a link"):
        open_for_appending(folder / "row.txt")
    with open_for_appending(folder / "new.txt") as file:
        file.write(b"a")
    with open_for_appending(folder / "new.txt") as file:
        file.write(b"b")
    assert (folder / "new.txt").read_text() == "ab"
