"""The weights that training began with, where they are no function of the seed.

Evaluation measures them beside random ones: what training added is then seen apart from what was
there before. The run keeps them, so that it never asks for the file that they came from again.
"""

import os
import shutil
from pathlib import Path

from dim_tf import backbone_settings
from dim_tf.errors import RunError
from dim_tf.experiment import Experiment
from dim_tf.files import unfinished
from dim_tf.writing import reason, writing
from keras_models.encoders import Encoder

FILE = "start_weights.weights.h5"


def begins_with_given_weights(experiment: Experiment) -> bool:
    """Whether its encoder begins with weights that are not drawn from its seed alone."""
    weights, encoder = experiment.encoder_weights, experiment.encoder
    if weights == backbone_settings.AUTO:
        brings_its_own = encoder.startswith(backbone_settings.HUB)
        return bool(experiment.init_from) or brings_its_own or backbone_settings.is_file(encoder)
    return bool(experiment.init_from) or weights != backbone_settings.RANDOM


def save(encoder: Encoder, run_path: Path) -> None:
    """Writes an encoder's weights into the run folder, whole or not at all.

    Args:
        encoder: built, before its first step of training.
        run_path: of the run.

    Raises:
        RunError: they cannot be written.
    """
    # A folder of its own: Keras writes to names that end in .weights.h5 alone.
    hidden = unfinished(run_path / FILE)
    with writing(FILE, run_path, "make room and give the same command again"):
        hidden.mkdir()
        try:
            encoder.save_weights(hidden / FILE)
            os.replace(hidden / FILE, run_path / FILE)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def exists(run_path: Path) -> bool:
    """Whether the run keeps weights that it began with."""
    return (run_path / FILE).is_file()


def restore(encoder: Encoder, run_path: Path) -> None:
    """Gives an encoder the weights that the run began with.

    Args:
        encoder: built, of the run's architecture.
        run_path: of the run.

    Raises:
        RunError: the file is damaged, or of another architecture.
    """
    path = run_path / FILE
    try:
        encoder.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path} cannot be restored ({reason(error)}); put a copy back, or give --nofloors, "
            "which measures the trained encoder alone"
        ) from error
