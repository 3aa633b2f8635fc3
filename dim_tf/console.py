"""What the programs print on standard output: a line at a time, shown and never obeyed."""

import contextlib
import os
import sys

from dim_tf.errors import one_line

# Characters: a path may have thousands, a stranger's file millions.
LONGEST = 10_000


def say(message: object) -> None:
    """Prints a message as one line that a terminal shows and does not obey.

    All that the programs print on standard output goes through here, but for --help, since file
    names, labels and the files of a run folder may hold anything.

    Args:
        message: the line; of a longer one than `LONGEST` characters the middle is left out.

    Raises:
        OSError: the output takes nothing more, as a pipe whose reader has ended.
    """
    print(one_line(message, LONGEST), flush=True)


def open_streams() -> None:
    """Makes standard input, output and error usable however the process was started.

    Daemons and cron jobs start with some of them closed. Then the next file that is opened takes
    the number, and what a library prints goes into that file. Those that are closed are opened on
    the null device. Characters that the output's encoding lacks are written as escapes.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number, which is this one, as those below it are open.
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
    """Writes out what is still held back.

    Returns:
        Why that failed; None where it did not. Then nothing more is tried, so that Python does not
        tell of it again as it ends.
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
