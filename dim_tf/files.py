"""Writing files so that nothing is lost, and reading those that were cut off."""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim_tf.errors import InputError

_CHECKSUM = "sha256"
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.tmp", re.DOTALL)  # as `unfinished` names them

# Of a file that is read whole; the largest that is written, an evaluation, has some 100 kB.
MAX_BYTES = 2**26
MAX_DEPTH = 50


# Neither of these is known on Windows, whose folders hold no FIFOs.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def descriptor_of(path: Path, flags: int, mode: int = 0o666) -> int:
    """Opens a regular file, as `os.open` does, at once and nothing else.

    In a folder that others may write to, a name may be a FIFO, whose opening waits for ever, a
    device, which has no end, or, where the file is written, a link to another file of the user's.
    A link is followed where the file is only read.

    Args:
        path: of the file.
        flags: of `os.open`.
        mode: of a file that is made; the umask takes from it.

    Raises:
        OSError: it cannot be opened, is no regular file, or is a link and would be written.
    """
    if flags & (os.O_WRONLY | os.O_RDWR):
        flags |= _NO_LINK
    try:
        descriptor = os.open(path, flags | _AT_ONCE, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link", str(path)) from error
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads, or a socket
            raise OSError(errno.EINVAL, "it is no regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        is_folder = path.is_dir()
        code = errno.EISDIR if is_folder else errno.EINVAL
        why = os.strerror(code) if is_folder else "it is no regular file"
        raise OSError(code, why, str(path))
    return descriptor


def open_to_read(path: Path) -> io.BufferedReader:
    """Opens a file to read its bytes.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    return os.fdopen(descriptor_of(path, os.O_RDONLY), "rb")


def open_to_append(path: Path) -> io.BufferedWriter:
    """Opens a file to write behind its end; it is made where it is not there.

    Raises:
        OSError: it cannot be opened, is no regular file, or is a link.
    """
    return os.fdopen(descriptor_of(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new path beside `path`, for a file that then takes its place, whole or not at all.

    Each call's is another one, so that two processes that write the same file do not meet in it.
    """
    temporary = unfinished(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """A new hidden path beside `path`, for what is not whole yet."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process left half written; call it where no other process writes.

    That is what bears a name of `unfinished`; the folder is the user's, and may hold other files.
    """
    for left in folder.glob(".*.tmp"):
        if not _UNFINISHED.fullmatch(left.name):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Reads a JSON object as `read_checked` does.

    Args:
        path: of the file.
        remedy: what the error tells the user to do.

    Raises:
        InputError: it cannot be read, is damaged, or is not what `json_object` takes.
    """
    try:
        return read_checked(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read ({reason}); {remedy}") from error


def make_folder(path: Path, flag: str) -> None:
    """Makes a folder that a flag names, and those above it.

    Raises:
        InputError: it cannot be made; the error names the flag.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {path} cannot be made ({error.strerror}); give another {flag}"
        ) from error


def read_text(path: Path) -> str:
    """A text file of at most `MAX_BYTES`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or not UTF-8.
    """
    with open_to_read(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    return content.decode("utf-8")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_to_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_object(text: str) -> dict[str, Any]:
    """The object that a JSON text is.

    Raises:
        ValueError: it is no JSON, no object, names an entry twice, is nested deeper than
            `MAX_DEPTH`, or holds text that cannot be written as UTF-8.
    """
    try:
        found = json.loads(text, object_pairs_hook=_entries)
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object, {...}")
    level: list[Any] = [found]
    for _ in range(MAX_DEPTH):
        for one in level:
            if isinstance(one, str):
                one.encode()  # half a character, as "\\ud800", is no text
        containers = [[*one, *one.values()] for one in level if isinstance(one, dict)]
        containers += [one for one in level if isinstance(one, list)]
        level = [inner for one in containers for inner in one]
    if level:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return found


def _entries(pairs):
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has the entry {name!r} twice")
        found[name] = value
    return found


def replace_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "x", encoding="utf-8") as file:
        file.write(text)


def with_checksum(content: dict[str, Any]) -> str:
    """The JSON of an object, and in it, as `sha256`, the hash of all else."""
    return json.dumps({**content, _CHECKSUM: _hash(content)}, indent=2, allow_nan=False) + "\n"


def read_checked(path: Path) -> dict[str, Any]:
    """Reads what `with_checksum` made, without its checksum; a file that has none is not checked.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or not what `json_object` takes.
    """
    content = json_object(read_text(path))
    written = content.pop(_CHECKSUM, None)
    if written is not None and written != _hash(content):
        raise ValueError("its content is not that of its sha256")
    return content


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
