"""The files of checkpoints: ckpt-STEP.index, ckpt-STEP.data-…, and a record, ckpt-STEP.json.

The record has the others' sizes and hashes and is written last: what it does not fit is damaged, or
was not written to its end.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from dim_tf.console import say
from dim_tf.errors import RunError
from dim_tf.files import json_object, read_text, replace_text, sha256_of, unfinished
from dim_tf.writing import reason

_NAME = re.compile(r"ckpt-(0|[1-9][0-9]*)\.(json|index|data-[0-9-of]+)")
_TENSORFLOWS_LIST = "checkpoint"  # earlier versions chose by it; it would name removed files


class Found(NamedTuple):
    """The newest good checkpoint, and the newer ones that are damaged."""

    step: int
    passed_over: list[int]


def prefix(folder: Path, step: int) -> Path:
    """What TensorFlow calls the checkpoint's path; its files' names begin so."""
    return folder / f"ckpt-{step}"


def steps(folder: Path) -> list[int]:
    """Those that have a record or an index, good or not, in ascending order."""
    found = _files(folder)
    return sorted({step for step, ending, _ in found if not ending.startswith("data")})


def write(checkpoint: tf.train.Checkpoint, folder: Path, step: int) -> None:
    """Writes a checkpoint, whole or not at all; a damaged one of the same step is replaced."""
    final = prefix(folder, step)
    hidden = unfinished(final)
    hidden.mkdir(parents=True)
    try:
        checkpoint.write(str(hidden / final.name))
        for path in hidden.iterdir():
            _to_disk(path)
        files = _described(hidden, step)
        _record(folder, step).unlink(missing_ok=True)
        for name in sorted(files):  # the data, then the index
            os.replace(hidden / name, folder / name)
        text = json.dumps({"step": step, "files": files}, indent=2) + "\n"
        replace_text(_record(folder, step), text)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def keep_only(folder: Path, kept: list[int]) -> None:
    """Removes the files of all other checkpoints."""
    # Records first: a record without files would tell of damage.
    for step, _, path in sorted(_files(folder), key=lambda file: file[1] != "json"):
        if step not in kept:
            path.unlink(missing_ok=True)
    (folder / _TENSORFLOWS_LIST).unlink(missing_ok=True)


def newest_good(folder: Path) -> Found | None:
    """Looks for the newest checkpoint that is not damaged; says so where it is not the last.

    Returns:
        None where there is no checkpoint.

    Raises:
        RunError: all of them are damaged.
    """
    reasons: dict[int, str] = {}
    for step in reversed(steps(folder)):
        why = _damage(folder, step)
        if not why:
            if reasons:
                told = "; ".join(reasons.values())
                used = prefix(folder, step)
                say(f"checkpoints: {told}; {used} is used instead")
            return Found(step, list(reasons))
        reasons[step] = why
    if reasons:
        raise RunError(
            f"no checkpoint in {folder} is good: {'; '.join(reasons.values())}; put a copy of one "
            "back, or train anew with --noresume"
        )
    return None


def _record(folder: Path, step: int) -> Path:
    return folder / f"{prefix(folder, step).name}.json"


def _files(folder: Path) -> list[tuple[int, str, Path]]:
    """Step, what follows the step in the name, and path of each file."""
    if not folder.is_dir():
        return []
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return [(int(match[1]), match[2], path) for match, path in named if match]


def _described(folder: Path, step: int) -> dict[str, dict[str, Any]]:
    """Name → size in bytes and hash, of the index and the data."""
    found = {}
    for of, ending, path in _files(folder):
        if of == step and ending != "json":
            found[path.name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return found


def _damage(folder: Path, step: int) -> str:
    """What is wrong with a checkpoint; empty: nothing."""
    record = _record(folder, step)
    try:
        if not record.exists():  # of an earlier version, or killed just before the record
            return _damage_by_reading(prefix(folder, step))
        there = _described(folder, step)
        told = json_object(read_text(record))
        wanted = told["files"]
        if told["step"] != step or not wanted.keys() | there.keys():
            return f"{record} is damaged (it is of another checkpoint)"
        for name in sorted(wanted.keys() | there.keys()):
            if wanted.get(name) != there.get(name):
                return (
                    f"{folder / name} is damaged (it is not the file that {record.name} tells of)"
                )
    except OSError as error:
        return f"{prefix(folder, step)} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{record} is damaged"
    return ""


def _damage_by_reading(path: Path) -> str:
    """TensorFlow has a checksum of each tensor, and looks at it as it reads."""
    try:
        _described(path.parent, int(path.name.removeprefix("ckpt-")))  # TensorFlow opens FIFOs too
        reader = tf.train.load_checkpoint(str(path))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        return f"{path} is damaged ({reason(error)})"
    return ""


def _to_disk(path: Path) -> None:
    """Else a power failure might keep the record and lose what it tells of."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
