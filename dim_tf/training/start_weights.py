"""The weights that training began with, where they are no function of the seed.

Evaluation measures them beside random ones: what training added is then seen apart from what was
there before. The run keeps them, so that it never asks for the file that they came from again.
"""

import dataclasses
import os
import shutil
from pathlib import Path

from dim_tf.errors import RunError
from dim_tf.experiment import Experiment
from dim_tf.files import unfinished
from dim_tf.writing import reason, writing
from keras_models.encoders import Encoder

FILE = "start_weights.weights.h5"
_OF_CODE = "keras:"  # models that a class of Keras makes, without weights of their own
_OF_FILES = ("keras_hub:", ".keras")  # where --encoder begins or ends so, it brings its weights


def begins_with_given_weights(experiment: Experiment) -> bool:
    """Whether its encoder begins with weights that are not drawn from its seed alone."""
    if experiment.init_from:
        return True
    if experiment.encoder_weights == "auto":
        return _brings_weights(experiment.encoder)
    return experiment.encoder_weights != "random"


def with_random_weights(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment, whose encoder begins with weights drawn from another seed alone."""
    encoder = experiment.encoder
    is_backbone = encoder.startswith(_OF_CODE) or _brings_weights(encoder)
    weights = "random" if is_backbone else experiment.encoder_weights
    return dataclasses.replace(experiment, seed=seed, encoder_weights=weights, init_from="")


def _brings_weights(encoder: str) -> bool:
    return encoder.startswith(_OF_FILES[0]) or encoder.endswith(_OF_FILES[1])


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
