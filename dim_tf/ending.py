"""SIGTERM and SIGINT outside the training loop, which saves before it ends."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

STOPPED = 143  # exit status, as a shell shows a process that SIGTERM ended
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ended(BaseException):
    """A signal asks to end. No Exception: what goes on after errors must not go on after it."""


def end_at_once() -> None:
    """From now on the signals end the process: for while nothing is being written."""
    _handle(_end)


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Meanwhile the first signal raises `Ended`, so that half-written files are removed.

    Another one ends the process at once.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _handle(_raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(handler):
    for number in _SIGNALS:
        signal.signal(number, handler)


def _raise(number, frame):
    _handle(_end)
    raise Ended(f"stopped by {signal.Signals(number).name}")


def _end(number, frame):
    with contextlib.suppress(RuntimeError):  # the signal came while something was printed
        sys.stdout.flush()
    os._exit(STOPPED)
