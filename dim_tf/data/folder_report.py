"""What a source of image files tells of them, in the run folder: data.json and bad_images.txt."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dim_tf.data.image_files import FORMATS, Fault
from dim_tf.data.manifest import Manifest
from dim_tf.files import json_object, read_text, replace_text

REPORT, BAD_IMAGES = "data.json", "bad_images.txt"


def described(found: Manifest, repeated: dict[int, int]) -> dict[str, Any]:
    """Counts of a folder's files.

    Args:
        found: its files.
        repeated: row of each file with the content of another -> that one's row.
    """
    kinds = Counter(found.faults.tolist())
    good = found.faults == Fault.NONE
    others = Counter(
        PurePosixPath(found.names[row]).suffix.lower() or "without a suffix"
        for row in np.flatnonzero(found.faults == Fault.OTHER)
    )
    formats = np.bincount(found.formats[good], minlength=len(FORMATS))
    return {
        "image_files": int(sum(kinds.values()) - kinds[Fault.OTHER]),
        "unreadable": {
            fault.told: kinds[fault] for fault in Fault if fault.is_bad and kinds[fault]
        },
        "tiny": kinds[Fault.TINY],
        "duplicates": len(repeated),
        "formats": {name: int(n) for name, n in zip(FORMATS, formats, strict=True) if n},
        "pixels": {
            side: _spread(found.extents[good, column])
            for column, side in enumerate(("width", "height"))
        },
        "other_files": dict(others.most_common(20)),
    }


def _spread(numbers):
    if not len(numbers):
        return {}
    return {
        "least": int(numbers.min()),
        "median": int(np.median(numbers)),
        "most": int(numbers.max()),
    }


def bad_lines(found: Manifest, repeated: dict[int, int]) -> Iterable[str]:
    """A line for each file that is left out: its name, a tab, and why."""
    for row in np.flatnonzero((found.faults != Fault.NONE) & (found.faults != Fault.OTHER)):
        yield f"{printable(found.names[row])}\t{Fault(found.faults[row]).told}\n"
    for left_out, first in sorted(repeated.items()):
        yield f"{printable(found.names[left_out])}\tsame as {printable(found.names[first])}\n"


def printable(name: str) -> str:
    """A file's name on one line, in UTF-8."""
    told = name.replace("\\", "\\\\").translate({9: "\\t", 10: "\\n", 13: "\\r"})
    return told.encode("utf-8", "backslashreplace").decode("utf-8")


def write(folder: Path, told: dict[str, Any], lines: Iterable[str]) -> None:
    """Writes both files, each whole or not at all.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / BAD_IMAGES, "".join(lines))
    replace_text(folder / REPORT, json.dumps(told, indent=2) + "\n")


def fingerprint(folder: Path) -> str:
    """Of the images that a run has told of before; empty: none."""
    try:
        return str(json_object(read_text(folder / REPORT))["fingerprint"])
    except (OSError, ValueError, KeyError):
        return ""
