"""SIGTERM and SIGINT: a wish to stop, at once or at the next good moment."""

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


class Signals:
    """While used as a context, notes the first signal for a loop that stops at a good moment.

    Another one ends the process at once.

    Attributes:
        received: its number; None: none came.
    """

    def __init__(self):
        self.received: int | None = None

    def __enter__(self):
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        _handle(self._note)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        _handle(_end)
        self.received = number


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
