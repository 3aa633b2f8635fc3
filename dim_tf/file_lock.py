"""A lock on a file. The system gives it back when its process ends, however it does."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import filelock

from dim_tf.files import descriptor_of


def take(path: Path, waiting: Callable[[], None] | None = None) -> int:
    """Locks the file at `path`, which is made; its holder may remove it before giving it back.

    Whom the umask lets write the file may lock it later: members of a group share a folder. On
    network file systems the lock is as good as their locks.

    Args:
        path: of the lock file.
        waiting: called once, before another process' end is waited for; None: no waiting.

    Returns:
        The open file's descriptor; closing it gives the lock back.

    Raises:
        BlockingIOError: another process holds it, and there is no waiting.
        OSError: it cannot be written, is a link or no regular file, or the file system has no
            locks.
    """
    while True:
        descriptor = _opened(path)
        try:
            if not filelock.lock_descriptor(descriptor, blocking=False):
                if waiting is None:
                    raise BlockingIOError(f"{path} is locked")
                waiting()
                waiting = _nothing
                filelock.lock_descriptor(descriptor)
            # A holder that ended may have removed this file: then it locks nothing.
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_taken(path: Path) -> bool:
    """Whether a process of this machine holds the lock on a file.

    Raises:
        OSError: it cannot be read, or the file system has no locks.
    """
    descriptor = descriptor_of(path, os.O_RDONLY)
    try:
        return not filelock.lock_descriptor(descriptor, blocking=False)
    finally:
        os.close(descriptor)


def _opened(path):
    while True:
        # First as it is: in a folder like /tmp the system lets nobody "make" another user's file.
        with contextlib.suppress(FileNotFoundError):
            return descriptor_of(path, os.O_RDWR)
        with contextlib.suppress(FileExistsError):
            return descriptor_of(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def _nothing():
    pass


def _is_at(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
