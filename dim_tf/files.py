"""Writing files so that nothing is lost, and reading those that were cut off."""

import json
import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all: to a temporary name beside it, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json_lines(path: Path) -> list[dict]:
    """The objects of a file with one a line; none if there is no such file.

    What follows a line that was not written to its end is left out.
    """
    entries: list[dict] = []
    if not path.exists():
        return entries
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return entries
