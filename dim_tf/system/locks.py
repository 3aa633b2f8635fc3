"""Locks on files and folders, by filelock. The system releases them when the process ends."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from dim_tf.system.errors import InputError, one_line
from dim_tf.system.files import open_for_reading, open_regular_file, remove_temporary_files

LOCK_FILE = ".lock"
_MAX_HOLDER_BYTES = 300


@contextlib.contextmanager
def locked_file(
    path: Path,
    on_wait: Callable[[], None] | None = None,
    on_acquired: Callable[[int], None] | None = None,
) -> Iterator[None]:
    """Holds the lock file at `path`, which is created and stays; its holder may remove it.

    The umask decides who may lock the file later, because members of a group may share a folder. In
    a sticky folder, such as /tmp, filelock 4 refuses another user's file. On network file systems
    the lock is as reliable as their locks.

    Args:
        path: Path of the lock file.
        on_wait: Called once before waiting for another process; None: do not wait.
        on_acquired: Called with the locked file's descriptor, which belongs to the lock.

    Raises:
        BlockingIOError: Another process holds the lock, and there is no `on_wait`.
        OSError: The file cannot be written, is a link or not a regular file, or the file system has
            no locks.
    """
    # FileLock does not follow links, but it would lock a FIFO, and for a link it says ELOOP.
    with contextlib.suppress(FileNotFoundError):
        os.close(open_regular_file(path, os.O_RDWR))
    # On a file system without locks, it would use files that outlive a killed process.
    lock = filelock.FileLock(path, fallback_to_soft=False, on_acquired=on_acquired)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        if on_wait is None:
            raise BlockingIOError(f"{path} is locked") from error
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process on this machine holds the lock on a file.

    FileLock would create the file and need permission to write it.

    Raises:
        OSError: It cannot be read, or the file system has no locks.
    """
    descriptor = open_regular_file(path, os.O_RDONLY)
    try:
        return not filelock.lock_descriptor(descriptor, blocking=False)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_folder(folder: Path, flag: str) -> Iterator[None]:
    """Keeps other processes out of a folder while this one writes there.

    The folder is created, and removed again if nothing was written to it.

    Args:
        folder: The folder to lock.
        flag: The flag that names another folder, for messages.

    Raises:
        InputError: Another process holds the lock, or the folder cannot be written.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / LOCK_FILE
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked_file(path, on_acquired=_write_holder))
        except BlockingIOError as error:
            raise InputError(
                f"{folder} is in use by another run{_read_holder(path)}; wait for its end, or give "
                f"another {flag}"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            if error.filename == str(path):
                reason = f"{LOCK_FILE}: {reason}"
            raise InputError(
                f"the folder {folder} cannot be written ({reason}); give another {flag}"
            ) from error
        try:
            remove_temporary_files(folder)
            yield
        finally:
            with contextlib.suppress(PermissionError):  # Windows removes no file that is open
                path.unlink(missing_ok=True)
            stack.close()  # before the folder goes: on Windows the release removes the file
            for created in missing:
                with contextlib.suppress(OSError):  # it is not empty
                    created.rmdir()


def _write_holder(descriptor: int) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
    os.ftruncate(descriptor, 0)
    os.write(descriptor, holder.encode())


def _read_holder(path: Path) -> str:
    try:
        with open_for_reading(path) as file:
            holder = file.read(_MAX_HOLDER_BYTES).decode("utf-8", "replace")
    except OSError:  # it has just ended
        return ""
    return f" ({one_line(holder)})" if holder else ""
