"""One process at a time in a folder."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from dim_tf import file_lock
from dim_tf.errors import InputError, one_line
from dim_tf.files import open_to_read, remove_unfinished

LOCK_FILE = ".lock"
_LONGEST_HOLDER = 300  # bytes


@contextlib.contextmanager
def locked(folder: Path, option: str) -> Iterator[None]:
    """Keeps other processes out of a folder while this one writes there.

    The system lets go of the lock when the process ends, however it does; so a file that a killed
    process left locks nothing. The folder is made, and goes away again if nothing was put there.
    On network file systems the lock is as good as their locks.

    Args:
        folder: what is locked.
        option: the flag that names another folder, for messages.

    Raises:
        InputError: another process holds it, or it cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path)
    except BlockingIOError as error:
        raise InputError(
            f"{folder} is in use by another run{_holder(path)}; wait for its end, or give another "
            f"{option}"
        ) from error
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be written ({_reason(error, path)}); give another {option}"
        ) from error
    try:
        remove_unfinished(folder)
        yield
    finally:
        with contextlib.suppress(PermissionError):  # Windows removes no file that is open
            path.unlink(missing_ok=True)
        os.close(descriptor)
        for parent in made:
            with contextlib.suppress(OSError):  # it is not empty
                parent.rmdir()


def _lock(path: Path) -> int:
    """Locks the file, and writes there who does."""
    descriptor = file_lock.take(path)
    try:
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        told = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
        os.write(descriptor, told.encode())
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _reason(error: OSError, path: Path) -> str:
    why = error.strerror or str(error)
    return f"{LOCK_FILE}: {why}" if error.filename == str(path) else why


def _holder(path: Path) -> str:
    try:
        with open_to_read(path) as file:
            told = file.read(_LONGEST_HOLDER).decode("utf-8", "replace")
    except OSError:  # it has just ended
        return ""
    return f" ({one_line(told)})" if told else ""
