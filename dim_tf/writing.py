"""What is told where something cannot be written: a full disk, most of all."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from dim_tf.errors import RunError

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
            f"{what} could not be written: {_reason(error)} ({_free(folder)}); {afterwards}"
        ) from error


def _reason(error: OSError | tf.errors.OpError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    lines = error.message.splitlines() or [type(error).__name__]
    return lines[0]


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 2**20:,.1f} MiB are free in {folder}"
