"""metrics.jsonl: one object a logged step."""

import json
import math
from pathlib import Path
from typing import Any

from dim_tf.console import say
from dim_tf.files import json_object, open_to_read, replace_text

MAX_LINE = 2**20  # bytes


def read(path: Path, last_step: float = math.inf) -> list[dict[str, Any]]:
    """The lines up to `last_step`, each step once; none if there is no such file.

    Lines that are damaged, or were not written to their end, are left out.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    return _read(path, last_step)[0]


def cut_back(path: Path, step: int) -> None:
    """Drops what stands there after `step`, and says so where lines before are damaged.

    Afterwards there is a new file, which is no link that somebody has put there.

    Raises:
        OSError: it cannot be read or written.
    """
    kept, damaged = _read(path, step)
    if damaged:
        say(f"{path}: {damaged} damaged lines are left out")
    replace_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))


def _read(path, last_step):
    """The good lines, and how many damaged ones there are before the last of them."""
    kept: list[dict[str, Any]] = []
    damaged = since = 0
    if not path.exists():
        return kept, damaged
    with open_to_read(path) as file:
        while line := file.readline(MAX_LINE):
            entry = _entry(line)
            if entry is None or (kept and entry["step"] <= kept[-1]["step"]):
                since += 1
            elif entry["step"] <= last_step:
                kept.append(entry)
                damaged, since = damaged + since, 0
    return kept, damaged


def _entry(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where it is none of finite numbers with a step."""
    try:
        entry = json_object(line.decode("utf-8"))
    except ValueError:
        return None
    if not isinstance(entry.get("step"), int) or not all(
        _is_finite(value) for value in entry.values()
    ):
        return None
    return entry


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf  # which NaN is not
