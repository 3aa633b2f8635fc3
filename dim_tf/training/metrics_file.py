"""metrics.jsonl: a JSON object per logged step."""

import json
import math
from pathlib import Path
from typing import Any

from dim_tf.system.console import say
from dim_tf.system.files import atomic_write_text, open_for_reading
from dim_tf.system.json_files import parse_json_object

MAX_LINE_BYTES = 2**20


def read(path: Path, last_step: float = math.inf) -> list[dict[str, Any]]:
    """The lines up to `last_step`, each step only once; none if the file does not exist.

    Lines that are damaged or incomplete are left out.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    return _read(path, last_step)[0]


def truncate_after(path: Path, step: int) -> None:
    """Drops the lines after `step`, and damaged lines; prints the number of the latter.

    It writes a new file, so that no link stays at `path`.

    Raises:
        OSError: It cannot be read or written.
    """
    entries, damaged = _read(path, step)
    if damaged:
        say(f"{path}: {damaged} damaged lines are left out")
    atomic_write_text(path, "".join(json.dumps(entry) + "\n" for entry in entries))


def _read(path: Path, last_step: float) -> tuple[list[dict[str, Any]], int]:
    """The intact lines, and the number of damaged ones before the last of them."""
    entries: list[dict[str, Any]] = []
    damaged = damaged_since = 0
    if not path.exists():
        return entries, damaged
    with open_for_reading(path) as file:
        while line := file.readline(MAX_LINE_BYTES):
            entry = _parse(line)
            if entry is None or (entries and entry["step"] <= entries[-1]["step"]):
                damaged_since += 1
            elif entry["step"] <= last_step:
                entries.append(entry)
                damaged, damaged_since = damaged + damaged_since, 0
    return entries, damaged


def _parse(line: bytes) -> dict[str, Any] | None:
    """The object on a line; None unless it has a step and only finite numbers."""
    try:
        entry = parse_json_object(line.decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(entry.get("step"), int) or not all(map(_is_finite, entry.values())):
        return None
    return entry


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf  # which NaN is not
