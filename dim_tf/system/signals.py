"""SIGTERM and SIGINT: stop at once, by an exception, or at the end of a step."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

EXIT_STATUS = 143  # as a shell shows a process that SIGTERM ended
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """A signal ended training, after a checkpoint was saved."""


class Terminated(BaseException):
    """A signal asks to stop. Not an Exception: code that handles errors must not catch it."""


def exit_on_signal() -> None:
    """From now on a signal ends the process at once; for times when nothing is being written."""
    _set_handler(_exit)


@contextlib.contextmanager
def raise_on_signal() -> Iterator[None]:
    """A context in which the first signal raises `Terminated`, so that half-written files go.

    A second signal ends the process at once.
    """
    with _restored_handlers():
        _set_handler(_raise)
        yield


class StopSignal:
    """A context that records the first signal, for a loop that stops at the end of a step.

    A second signal does what it did before the context; within `raise_on_signal`, which our
    programs use, it ends the process at once. In threads other than the main one, which alone can
    handle signals, nothing is recorded.

    Attributes:
        received: The signal's number; None if there was none.
    """

    def __init__(self):
        self.received: int | None = None

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._handlers = self._stack.enter_context(_restored_handlers())
        _set_handler(self._record)
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def _record(self, number, frame):
        if _raise in self._handlers.values():
            _set_handler(_exit)
        else:  # as in a notebook, whose process is not ours to end
            _set_handlers(self._handlers)
        self.received = number


@contextlib.contextmanager
def _restored_handlers() -> Iterator[dict[signal.Signals, Any]]:
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield handlers
    finally:
        _set_handlers(handlers)


def _set_handler(handler):
    _set_handlers(dict.fromkeys(_SIGNALS, handler))


def _set_handlers(handlers):
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _raise(number, frame):
    _set_handler(_exit)
    raise Terminated(f"stopped by {signal.Signals(number).name}")


def _exit(number, frame):
    with contextlib.suppress(RuntimeError):  # the signal came while something was printed
        sys.stdout.flush()
    os._exit(EXIT_STATUS)
