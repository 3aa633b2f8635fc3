"""Writing files so that nothing is lost, and reading those that were cut off."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHECKSUM = "sha256"


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
    """Removes what a killed process left half written; call it where no other process writes."""
    for left in folder.glob(".*.tmp"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def with_checksum(content: dict[str, Any]) -> str:
    """The JSON of an object, and in it, as `sha256`, the hash of all else."""
    return json.dumps({**content, _CHECKSUM: _hash(content)}, indent=2, allow_nan=False) + "\n"


def read_checked(path: Path) -> dict[str, Any]:
    """Reads what `with_checksum` made, without its checksum; a file that has none is not checked.

    Raises:
        ValueError: it is damaged.
    """
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    written = content.pop(_CHECKSUM, None)
    if written is not None and written != _hash(content):
        raise ValueError("its content is not that of its sha256")
    return content


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
