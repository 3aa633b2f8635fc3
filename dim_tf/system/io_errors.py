"""Errors in writing files, above all a full disk, as one line that says what to do."""

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dim_tf.system.errors import RunError

_OPERATION = re.compile(r"\{\{.*?\}\} ?| ?\[Op:.*")
# First lines of a TensorFlow trace, whose last line has the reason, except for these.
_TRACES = ("Graph execution error:", "in user code:")
_NO_REASONS = (
    "[[",
    "Hint:",
    "0 successful operations",
    "0 derived errors",
    "Arguments received",
    "•",
)
_OUT_OF_MEMORY = "OOM"  # TensorFlow has one class of errors for a full disk and a full memory


@contextlib.contextmanager
def translate_write_errors(file: str, folder: Path, advice: str) -> Iterator[None]:
    """Raises RunError, with a message of one line, if writing fails.

    Args:
        file: What is written, such as "the checkpoint of step 3".
        folder: Where it is written; the message says how much space is free there.
        advice: What is intact, and what to do.

    Raises:
        RunError: A write failed.
    """
    try:
        yield
    except (OSError, *_errors_of_tensorflow()) as error:
        if not isinstance(error, OSError) and _OUT_OF_MEMORY in error.message:
            raise
        raise RunError(
            f"{file} could not be written: {reason(error)} ({_free_space(folder)}); {advice}"
        ) from error


def _errors_of_tensorflow() -> tuple[Any, ...]:
    """The class of TensorFlow's errors; empty before it is imported, when it raises nothing."""
    tensorflow = sys.modules.get("tensorflow")
    return () if tensorflow is None else (tensorflow.errors.OpError,)


def reason(error: Exception) -> str:
    """An error's message on one line, without the names of TensorFlow's operations."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line.strip() for line in _OPERATION.sub("", str(error)).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NO_REASONS)]
    if lines and lines[0] in _TRACES:
        return lines[-1]
    return next(iter(lines), "") or type(error).__name__


def _free_space(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 2**20:,.1f} MiB are free in {folder}"
