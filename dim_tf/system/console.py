"""Standard output: printed line by line, as text that a terminal shows but does not obey."""

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterator

from dim_tf.system.errors import one_line

MAX_CHARS = 10_000  # a path may have thousands, a stranger's file millions

_is_quiet: contextvars.ContextVar[bool] = contextvars.ContextVar("quiet", default=False)


@contextlib.contextmanager
def quiet(value: bool = True) -> Iterator[None]:
    """A context in which `say` prints nothing, in this thread; with False it prints again."""
    token = _is_quiet.set(value)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def keras_verbosity() -> int:
    """Keras' `verbose`: 0 if quiet, 1 for a progress bar, 2 for one line per epoch.

    A progress bar is for terminals and notebooks.
    """
    if _is_quiet.get():
        return 0
    return 1 if sys.stdout.isatty() or "ipykernel" in sys.modules else 2


def say(message: object) -> None:
    """Prints a message as one line that a terminal shows but does not obey.

    Everything that the programs print on standard output, except --help, goes through this
    function, because file names, labels and files in a run folder may contain anything. Within
    `quiet` nothing is printed.

    Args:
        message: The line; if it has more than `MAX_CHARS` characters, the middle is left out.

    Raises:
        OSError: The output is closed, for instance a pipe whose reader has ended.
    """
    if not _is_quiet.get():
        print(one_line(message, MAX_CHARS), flush=True)


def open_streams() -> None:
    """Makes standard input, output and error usable, however the process was started.

    Daemons and cron jobs start with some of them closed. The next file that is opened would get the
    closed one's number, and receive what a library prints. So closed ones are opened on the null
    device. Characters that the output's encoding lacks are written as escapes.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # It takes the lowest free number, which is this one because those below are open.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = _writer(1)
    if sys.stderr is None:
        sys.stderr = _writer(2)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not so where a test or a notebook has replaced it
            stream.reconfigure(errors="backslashreplace")


def _writer(descriptor):
    return open(descriptor, "w", encoding="utf-8", closefd=False)


def flush() -> OSError | None:
    """Writes out what is buffered for standard output.

    Returns:
        The error; None if it was written. After an error the output goes to the null device, so
        that Python does not report the error again when it ends.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        return error
    return None
