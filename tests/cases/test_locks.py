"""Locks in folders that several users share, and on systems without `fcntl`."""

import ast
import os
import stat
from pathlib import Path

import pytest

import dim_tf
from dim_tf.system.locks import locked_file, locked_folder
from dim_tf.tables.leases import LeaseFolder

ROOT = Path(dim_tf.__file__).parents[1]


@pytest.fixture(params=[0o002, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_whom_the_umask_lets_write_may_take_the_locks_of_another_user(umask, tmp_path):
    """Of a run folder, of the cache (which takes the same lock), and a table's leases."""
    with locked_folder(tmp_path, "--run_dir"):
        assert mode(tmp_path / ".lock") == 0o666 & ~umask
    with locked_file(tmp_path / "entry.lock"):
        assert mode(tmp_path / "entry.lock") == 0o666 & ~umask
    lease = LeaseFolder(tmp_path).acquire("row")
    assert mode(tmp_path / "row.lease1") == 0o666 & ~umask
    lease.release()
    assert mode(tmp_path / "row.lease1") == 0o666 & ~umask


def test_a_lock_that_was_left_is_opened_and_not_created(tmp_path, monkeypatch):
    """In a folder like /tmp Linux refuses O_CREAT on another user's file (protected_regular)."""
    (tmp_path / "lock").touch()
    opened = os.open

    def protected(path, flags, *mode):
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", protected)
    with locked_file(tmp_path / "lock"):
        pass


def test_no_module_needs_fcntl():
    """Windows has none; there locks are untested."""
    for folder in ("dim_tf", "keras_models", "benchmarks", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                    assert "fcntl" not in names, file
