"""A stage of a row as a separate process."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dim_tf.system.files import open_for_appending, open_for_reading

POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_stage(
    command: Sequence[str],
    log: Path,
    descriptor: int,
    poll: Callable[[], None],
    stop_requested: Callable[[], bool],
) -> str:
    """Runs a command to its end; if `poll` raises, the process is killed.

    Args:
        command: The program and its arguments.
        log: File to which its output is appended.
        descriptor: Descriptor of the lease's file; the process inherits it and so holds the lease.
        poll: Called every `POLL_SECONDS` while the process runs.
        stop_requested: Whether to send the process SIGTERM, once.

    Returns:
        Why the process failed, on one line; empty if it did not.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open_for_appending(log) as file:
        begin = file.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it through this process, once
            pass_fds=[descriptor],
            preexec_fn=_end_with_parent,
        )
        try:
            _wait(process, poll, stop_requested)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return _failure(process.returncode, log, begin)


def _wait(
    process: subprocess.Popen, poll: Callable[[], None], stop_requested: Callable[[], bool]
) -> None:
    signalled = False
    while True:
        try:
            process.wait(timeout=POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            pass
        poll()
        if stop_requested() and not signalled:
            signalled = True
            process.send_signal(signal.SIGTERM)


def _end_with_parent():
    """In the new process: makes its parent's end send SIGTERM, even if the parent was killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _failure(status: int, log: Path, begin: int) -> str:
    """Why a process failed, from its last lines in the log; empty if it did not."""
    if status == 0:
        return ""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    with open_for_reading(log) as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    output = [line for line in lines if line]
    return (errors or output or [f"exit status {status}"])[-1]
