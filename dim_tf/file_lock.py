"""A lock on a file. The kernel gives it back when its process ends, however it does."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


def take(path: Path, waiting: Callable[[], None] | None = None) -> int:
    """Locks the file at `path`, which is made; its holder may remove it before giving it back.

    On network file systems the lock is as good as their flock.

    Args:
        path: of the lock file.
        waiting: called once, before another process' end is waited for; None: no waiting.

    Returns:
        The open file's descriptor; closing it gives the lock back.

    Raises:
        BlockingIOError: another process holds it, and there is no waiting.
        OSError: it cannot be written, or the file system has no locks.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is None:
                    raise
                waiting()
                waiting = _nothing
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A holder that ended may have removed this file: then it locks nothing.
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _nothing():
    pass


def _is_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
