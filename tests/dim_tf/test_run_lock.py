"""One process at a time in a folder."""

import os
import subprocess
import sys

import pytest

from dim_tf.errors import InputError
from dim_tf.run_lock import LOCK_FILE, locked


def test_a_second_one_is_refused_and_told_who_the_first_is(tmp_path):
    with (
        locked(tmp_path, "--run_dir"),
        pytest.raises(InputError, match=rf"process {os.getpid()} on .*another --run_dir"),
        locked(tmp_path, "--run_dir"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path, "--run_dir"):
        pass


def test_a_killed_holder_locks_nothing(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from dim_tf.run_lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), '--run_dir'): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / LOCK_FILE).exists()
    with locked(tmp_path, "--run_dir"):
        pass


def test_a_folder_in_which_nothing_was_put_goes_away(tmp_path):
    with locked(tmp_path / "runs/new", "--run_dir"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs/new", "--run_dir"):
        (tmp_path / "runs/new/experiment.json").write_text("{}")
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "new", "experiment.json"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"cannot be written.*give another --run_dir"),
        locked(tmp_path / "file/run", "--run_dir"),
    ):
        pass
