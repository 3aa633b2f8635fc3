"""What the command lines share."""

import os
import signal
import subprocess
import sys

import pytest

from dim_tf.system import programs, signals
from dim_tf.system.errors import InputError, RunError


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("a"), 2), (RunError("a"), 1), (OSError("a"), 1), (BrokenPipeError(), 1)],
)
def test_an_error_is_one_line_and_a_status(error, status, capsys):
    assert programs.failed(error) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("status", [0, 1, 2, 143])
def test_the_process_ends_with_the_status(status):
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: status)
    assert end.value.code == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_tensorflow_is_imported_ends_the_process_without_a_traceback(number):
    program = (
        "import os; from dim_tf.system import programs, tensorflow_import\n"
        f"tensorflow_import.quietly = lambda: os.kill(os.getpid(), {number.value})\n"
        "programs.import_tensorflow(); print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (signals.EXIT_STATUS, b"", b"")


def test_a_signal_ends_the_program_by_an_exception(capsys):
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert end.value.code == signals.EXIT_STATUS
    assert capsys.readouterr().out.startswith("stopped by SIGTERM; what is written is whole")


def test_what_the_output_cannot_take_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(programs.console, "flush", lambda: OSError(28, "No space left on device"))
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: 0)
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: 2)  # which has been reported
    assert end.value.code == 2


@pytest.mark.parametrize(("status", "expected"), [(0, 1), (2, 2)])
def test_help_that_the_output_cannot_take_is_reported(status, expected, monkeypatch, capsys):
    monkeypatch.setattr(programs.console, "flush", lambda: OSError(28, "No space left on device"))
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: sys.exit(status))  # as argparse does
    assert end.value.code == expected
    assert ("No space left" in capsys.readouterr().err) == (status == 0)
