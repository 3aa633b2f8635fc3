"""JSON objects in files: read whole or refused, with or without a checksum."""

import hashlib
import json
from pathlib import Path
from typing import Any

from dim_tf.system.errors import InputError
from dim_tf.system.files import read_text

MAX_DEPTH = 50
_CHECKSUM = "sha256"


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Reads a JSON object like `read_json_with_checksum`.

    Args:
        path: Path of the file.
        remedy: What the error tells the user to do.

    Raises:
        InputError: It cannot be read, is damaged, or `parse_json_object` refuses it.
    """
    try:
        return read_json_with_checksum(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read ({reason}); {remedy}") from error


def read_json_with_checksum(path: Path) -> dict[str, Any]:
    """Reads the object that `json_with_checksum` wrote; without a checksum it is not checked.

    Returns:
        The object, without its checksum.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or `parse_json_object` refuses it.
    """
    content = parse_json_object(read_text(path))
    checksum = content.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _hash(content):
        raise ValueError("its content is not that of its sha256")
    return content


def json_with_checksum(content: dict[str, Any]) -> str:
    """The JSON text of an object, with the hash of all other entries as its entry `sha256`."""
    return json.dumps({**content, _CHECKSUM: _hash(content)}, indent=2, allow_nan=False) + "\n"


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def parse_json_object(text: str) -> dict[str, Any]:
    """Parses a JSON object that a stranger may have written.

    Raises:
        ValueError: The text is not a JSON object, has a name twice, is nested deeper than
            `MAX_DEPTH`, or contains a string that cannot be written as UTF-8.
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    if not isinstance(content, dict):
        raise ValueError("it is no object, {...}")
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        for value in level:
            if isinstance(value, str):
                value.encode()  # half a character, such as "\\ud800", is no text
        containers = [[*value, *value.values()] for value in level if isinstance(value, dict)]
        containers += [value for value in level if isinstance(value, list)]
        level = [value for container in containers for value in container]
    if level:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"it has the entry {name!r} twice")
        content[name] = value
    return content
