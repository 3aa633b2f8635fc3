"""What is told where something cannot be written: a full disk, most of all."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from dim_tf.errors import RunError

_OPERATION = re.compile(r"\{\{.*?\}\} ?| ?\[Op:.*")
_NO_MEMORY = "OOM"  # TensorFlow has one class of errors for a full disk and for a full memory


@contextlib.contextmanager
def writing(what: str, folder: Path, afterwards: str) -> Iterator[None]:
    """Raises RunError, of one line, where a write fails.

    Args:
        what: is written, such as "the checkpoint of step 3".
        folder: where; the free space there is told.
        afterwards: what is intact, and what to do.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if isinstance(error, tf.errors.OpError) and _NO_MEMORY in error.message:
            raise
        raise RunError(
            f"{what} could not be written: {reason(error)} ({_free(folder)}); {afterwards}"
        ) from error


def reason(error: Exception) -> str:
    """What an error says, in one line, without the names of TensorFlow's operations."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = _OPERATION.sub("", str(error)).splitlines()
    return next(iter(lines), "") or type(error).__name__


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 2**20:,.1f} MiB are free in {folder}"
