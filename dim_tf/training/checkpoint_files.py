"""Files of checkpoints: ckpt-STEP.index, ckpt-STEP.data-…, and a record of both, ckpt-STEP.json.

The record contains their sizes and hashes and is written last: files that differ from it are
damaged, or were not written completely.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from dim_tf.system.console import say
from dim_tf.system.errors import RunError
from dim_tf.system.files import atomic_write_text, read_text, sha256_of, temporary_path
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import parse_json_object

_NAME = re.compile(r"ckpt-(0|[1-9][0-9]*)\.(json|index|data-[0-9-of]+)")


class IntactCheckpoint(NamedTuple):
    """The newest intact checkpoint.

    Attributes:
        step: Step of the checkpoint.
        damaged: Steps of newer checkpoints, which are damaged.
    """

    step: int
    damaged: list[int]


def prefix(folder: Path, step: int) -> Path:
    """TensorFlow's path of the checkpoint, with which the names of its files start."""
    return folder / f"ckpt-{step}"


def steps(folder: Path) -> list[int]:
    """Steps with a record or an index, intact or not, in ascending order."""
    return sorted({step for step, suffix, _ in _files(folder) if not suffix.startswith("data")})


def write(checkpoint: tf.train.Checkpoint, folder: Path, step: int) -> None:
    """Writes a checkpoint, whole or not at all; a damaged one of the same step is replaced."""
    final = prefix(folder, step)
    hidden = temporary_path(final)
    hidden.mkdir(parents=True)
    try:
        checkpoint.write(str(hidden / final.name))
        for path in hidden.iterdir():
            _flush_to_disk(path)
        files = _sizes_and_hashes(hidden, step)
        _record_path(folder, step).unlink(missing_ok=True)
        for name in sorted(files):  # the data, then the index
            os.replace(hidden / name, folder / name)
        text = json.dumps({"step": step, "files": files}, indent=2) + "\n"
        atomic_write_text(_record_path(folder, step), text)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def remove_all_but(folder: Path, kept_steps: list[int]) -> None:
    """Removes the files of all other checkpoints."""
    # Records first, because a record without files would count as damage.
    for step, _, path in sorted(_files(folder), key=lambda file: file[1] != "json"):
        if step not in kept_steps:
            path.unlink(missing_ok=True)


def newest_intact(folder: Path) -> IntactCheckpoint | None:
    """Finds the newest checkpoint that is not damaged; prints a line about newer, damaged ones.

    Returns:
        None if there is no checkpoint.

    Raises:
        RunError: All checkpoints are damaged.
    """
    damages: dict[int, str] = {}
    for step in reversed(steps(folder)):
        damage = _damage(folder, step)
        if not damage:
            if damages:
                reasons = "; ".join(damages.values())
                say(f"checkpoints: {reasons}; {prefix(folder, step)} is used instead")
            return IntactCheckpoint(step, list(damages))
        damages[step] = damage
    if damages:
        raise RunError(
            f"no checkpoint in {folder} is good: {'; '.join(damages.values())}; put a copy of one "
            "back, or train anew with --noresume"
        )
    return None


def _record_path(folder: Path, step: int) -> Path:
    return folder / f"{prefix(folder, step).name}.json"


def _files(folder: Path) -> list[tuple[int, str, Path]]:
    """Step, suffix of the name and path of each file."""
    if not folder.is_dir():
        return []
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return [(int(match[1]), match[2], path) for match, path in matches if match]


def _sizes_and_hashes(folder: Path, step: int) -> dict[str, dict[str, Any]]:
    """Size in bytes and hash of the index and the data, by file name."""
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for file_step, suffix, path in _files(folder)
        if file_step == step and suffix != "json"
    }


def _damage(folder: Path, step: int) -> str:
    """What is wrong with a checkpoint; empty if nothing is."""
    path = _record_path(folder, step)
    try:
        if not path.exists():  # the process was killed just before it wrote it
            return _damage_by_reading(folder, step)
        actual = _sizes_and_hashes(folder, step)
        record = parse_json_object(read_text(path))
        recorded = record["files"]
        names = sorted(recorded.keys() | actual.keys())
        if record["step"] != step or not names:
            return f"{path} is damaged (it is of another checkpoint)"
        for name in names:
            if recorded.get(name) != actual.get(name):
                return f"{folder / name} is damaged (it is not the file that {path.name} describes)"
    except OSError as error:
        return f"{prefix(folder, step)} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{path} is damaged"
    return ""


def _damage_by_reading(folder: Path, step: int) -> str:
    """Reads each tensor, so that TensorFlow verifies its checksum."""
    path = prefix(folder, step)
    try:
        _sizes_and_hashes(folder, step)  # refuses FIFOs, at which TensorFlow would wait
        reader = tf.train.load_checkpoint(str(path))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        return f"{path} is damaged ({reason(error)})"
    return ""


def _flush_to_disk(path: Path) -> None:
    """Without this, a power failure might keep the record but lose the files that it describes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
