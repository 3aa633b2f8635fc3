"""`Signals`: SIGTERM and SIGINT as a wish to stop at the next good moment."""

import signal


class Signals:
    """While used as a context, notes SIGTERM and SIGINT instead of dying of them.

    A second signal ends the process at once.
    """

    def __init__(self):
        self.received: int | None = None

    def __enter__(self):
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.received = number
