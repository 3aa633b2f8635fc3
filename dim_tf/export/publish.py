"""Publishes an encoder as exported/<name>/<version>/, checked and whole, or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np

from dim_tf.errors import InputError
from dim_tf.export import lite, saved_model

TFLITE_FILE = "encoder_float32.tflite"


def next_version(folder: Path) -> int:
    """One more than the largest version in the folder; 1 if there is none."""
    versions = [int(child.name) for child in folder.glob("*") if child.name.isdecimal()]
    return max(versions, default=0) + 1


def publish(encoder: keras.Model, folder: Path, pixels: np.ndarray) -> tuple[Path, float]:
    """Writes the next version of an exported encoder.

    The SavedModel and the TFLite file are written to a hidden folder, loaded again, compared with
    the Keras model on real images, and only then renamed to the version's number, which a polling
    server looks for. What was published before stays as it is.

    Args:
        encoder: built, in float32.
        folder: exported/<name>.
        pixels: float32 [N, H, W, 3] in [0, 1], real images of the encoder's size.

    Returns:
        The version's folder, and the largest difference from the Keras model as a share of the
        largest feature.

    Raises:
        InputError: the folder cannot be written.
        RunError: the export differs from the Keras model.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(prefix=".unpublished-", dir=folder))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); give another --export_dir"
        ) from error
    try:
        saved_model.save(encoder, str(hidden))
        worst = saved_model.check(str(hidden), encoder, pixels)
        lite.convert(str(hidden), hidden / TFLITE_FILE)
        wanted = saved_model.expected(encoder, pixels)
        worst = max(worst, lite.check(hidden / TFLITE_FILE, pixels, wanted))
        hidden.chmod(0o755)  # mkdtemp makes it for this user alone; a server may be another
        target = folder / str(next_version(folder))
        os.rename(hidden, target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return target, worst
