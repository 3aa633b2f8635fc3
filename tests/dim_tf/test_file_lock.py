"""Locks on files: one holder, and a removed file locks nothing."""

import os

import pytest

from dim_tf import file_lock


def test_one_holder(tmp_path):
    held = file_lock.take(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        file_lock.take(tmp_path / "lock")
    os.close(held)
    os.close(file_lock.take(tmp_path / "lock"))


def test_waiting_for_one_that_removes_the_file(tmp_path):
    """Else the next one would make the file anew, and both would hold it."""
    path = tmp_path / "lock"
    held = file_lock.take(path)
    waits = []

    def waiting():
        waits.append(path)
        path.unlink()
        os.close(held)

    taken = file_lock.take(path, waiting)
    assert len(waits) == 1
    with pytest.raises(BlockingIOError):
        file_lock.take(path)
    os.close(taken)


def test_no_descriptor_is_left(tmp_path):
    held = file_lock.take(tmp_path / "lock")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            file_lock.take(tmp_path / "lock")
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(held)
