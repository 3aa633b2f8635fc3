"""Files that are written whole or not at all, and read only if they are regular files."""

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dim_tf.system.errors import InputError

# Bytes of a file that is read whole; the largest that we write, an evaluation, has about 100 kB.
MAX_BYTES = 2**26

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp", re.DOTALL)  # names of `temporary_path`

# Windows lacks these; its folders hold no FIFOs.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_regular_file(path: Path, flags: int, mode: int = 0o666) -> int:
    """Opens a regular file like `os.open`, without waiting, and nothing else.

    In a folder to which others may write, a name may be a FIFO, whose opening waits for ever, a
    device, which has no end, or a link to another file of the user. A link is followed if the file
    is only read.

    Args:
        path: Path of the file.
        flags: Flags for `os.open`.
        mode: Mode of a file that is created, before the umask.

    Returns:
        The file's descriptor.

    Raises:
        OSError: It cannot be opened, is not a regular file, or is a link and would be written.
    """
    if flags & (os.O_WRONLY | os.O_RDWR):
        flags |= _NO_LINK
    try:
        descriptor = os.open(path, flags | _NO_WAIT, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link", str(path)) from error
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads, or a socket
            raise OSError(errno.EINVAL, "it is no regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        if path.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def open_for_reading(path: Path) -> io.BufferedReader:
    """Opens a file for reading its bytes.

    Raises:
        OSError: It cannot be opened, or is not a regular file.
    """
    return os.fdopen(open_regular_file(path, os.O_RDONLY), "rb")


def open_for_appending(path: Path) -> io.BufferedWriter:
    """Opens a file for appending bytes, and creates it if it does not exist.

    Raises:
        OSError: It cannot be opened, is not a regular file, or is a link.
    """
    return os.fdopen(open_regular_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


@contextlib.contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yields a temporary path for a file that replaces the one at `path` on exit.

    After an exception the file at `path` is unchanged. Each call has its own temporary path, so two
    processes that write the same file do not mix their content.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with atomic_replace(path) as temporary, open(temporary, "x", encoding="utf-8") as file:
        file.write(text)


def temporary_path(path: Path) -> Path:
    """A new hidden path beside `path`, for a file or folder that is not complete yet."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def atomic_replace_folder(target: Path) -> Iterator[Path]:
    """Yields a new hidden folder, which on exit takes the place of `target` and removes that.

    `target` may be a folder, a file or a link; what a link leads to stays. After an exception, also
    one from a signal, `target` is unchanged. Only one process at a time may write it
    (`locks.locked_folder`).

    Raises:
        OSError: The folder cannot be created or renamed.
    """
    staging, old = temporary_path(target), temporary_path(target)
    staging.mkdir()
    try:
        yield staging
        if os.path.lexists(target):
            os.rename(target, old)
        os.rename(staging, target)
    finally:
        if os.path.lexists(old) and not os.path.lexists(target):
            os.rename(old, target)
        for path in (staging, old):
            _remove(path)


def remove_temporary_files(folder: Path) -> None:
    """Removes what killed processes left at `temporary_path`s; no other process may write there.

    Files with other names stay: the folder is the user's.
    """
    for path in folder.glob(".*.tmp"):
        if not _TEMPORARY.fullmatch(path.name):
            continue
        _remove(path)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def make_folder(path: Path, flag: str) -> None:
    """Creates a folder and its parents.

    Args:
        path: Path of the folder.
        flag: The flag that names the folder, for the error.

    Raises:
        InputError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {path} cannot be made ({error.strerror}); give another {flag}"
        ) from error


def read_text(path: Path) -> str:
    """Reads a text file with at most `MAX_BYTES`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger, or not UTF-8.
    """
    with open_for_reading(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    return content.decode("utf-8")


def is_inside(name: str) -> bool:
    """Whether a relative path with slashes stays inside its folder, on every system."""
    parts = PurePosixPath(name).parts
    is_unsafe = any(character in name for character in "\\\0:")
    return bool(parts) and not name.startswith("/") and ".." not in parts and not is_unsafe


def is_hidden(name: str) -> bool:
    """Whether a relative path with slashes has a part that starts with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hex digits.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    with open_for_reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
