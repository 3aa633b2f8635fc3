"""Locks on files: one holder, and a removed file locks nothing. Locks on folders."""

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from dim_tf.system.errors import InputError
from dim_tf.system.locks import LOCK_FILE, is_locked, locked_file, locked_folder


def test_one_holder(tmp_path):
    path = tmp_path / "lock"
    with locked_file(path):
        assert is_locked(path)
        with pytest.raises(BlockingIOError), locked_file(path):
            pass
    assert not is_locked(path)
    with locked_file(path):
        pass


def test_waiting_for_one_that_removes_the_file(tmp_path):
    """Else the next one would create the file anew, and both would hold it."""
    path = tmp_path / "lock"
    holder = contextlib.ExitStack()
    holder.enter_context(locked_file(path))
    waits = []

    def release():
        waits.append(path)
        path.unlink()
        holder.close()

    with locked_file(path, release):
        assert len(waits) == 1
        with pytest.raises(BlockingIOError), locked_file(path):
            pass


def test_no_descriptor_is_left(tmp_path):
    with locked_file(tmp_path / "lock"):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with pytest.raises(BlockingIOError), locked_file(tmp_path / "lock"):
                pass
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_whose_holder_cannot_be_written_is_released(tmp_path):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"), locked_file(tmp_path / "lock", None, full):
        pass
    assert not is_locked(tmp_path / "lock")


def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch):
    """FileLock would use a file that outlives a killed process."""
    fcntl = pytest.importorskip("fcntl")

    def missing(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(OSError, match="not implemented"), locked_file(tmp_path / "lock"):
        pass


def test_a_second_one_is_refused_and_the_first_is_named(tmp_path):
    with (
        locked_folder(tmp_path, "--run_dir"),
        pytest.raises(InputError, match=rf"process {os.getpid()} on .*another --run_dir"),
        locked_folder(tmp_path, "--run_dir"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked_folder(tmp_path, "--run_dir"):
        pass


def test_a_killed_holder_locks_nothing(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from dim_tf.system.locks import locked_folder\n"
        "with locked_folder(pathlib.Path(sys.argv[1]), '--run_dir'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / LOCK_FILE).exists()
    with locked_folder(tmp_path, "--run_dir"):
        pass


def test_a_folder_in_which_nothing_was_put_goes_away(tmp_path):
    with locked_folder(tmp_path / "runs/new", "--run_dir"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked_folder(tmp_path / "runs/new", "--run_dir"):
        (tmp_path / "runs/new/experiment.json").write_text("{}")
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "new", "experiment.json"]


def test_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot be written.*give another --run_dir"),
        locked_folder(tmp_path / "file/run", "--run_dir"),
    ):
        pass
