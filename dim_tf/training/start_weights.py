"""The weights that training began with, where they are no function of the seed.

Evaluation measures them beside random ones: what training added is then seen apart from what was
there before. The run keeps them, so that it never asks for the file that they came from again.
"""

import json
import os
import shutil
from pathlib import Path

from dim_tf.errors import RunError
from dim_tf.experiment import Experiment
from dim_tf.files import read_json, replace_text, unfinished
from dim_tf.settings.encoder import AUTO, HUB, IMAGENET, RANDOM
from dim_tf.training import encoder_record
from dim_tf.training.initial_weights import Source
from dim_tf.writing import reason, writing
from keras_models.encoders import Encoder

FILE = "start_weights.weights.h5"
SOURCE_FILE = "start_weights.json"  # of --init_from


def begins_with_given_weights(experiment: Experiment) -> bool:
    """Whether its encoder begins with weights that are not drawn from its seed alone."""
    encoder = experiment.encoder
    if encoder.init_from:
        return True
    if encoder.weights == AUTO:
        return encoder.name.startswith(HUB) or "encoder" in encoder.files
    return encoder.weights != RANDOM


def save(encoder: Encoder, run_path: Path, source: Source | None = None) -> None:
    """Writes an encoder's weights into the run folder, whole or not at all.

    Args:
        encoder: built, before its first step of training.
        run_path: of the run.
        source: whose weights they are, of --init_from; None: of others.

    Raises:
        RunError: they cannot be written.
    """
    # A folder of its own: Keras writes to names that end in .weights.h5 alone.
    hidden = unfinished(run_path / FILE)
    with writing(FILE, run_path, "make room and give the same command again"):
        hidden.mkdir()
        try:
            encoder.save_weights(hidden / FILE)
            if source:
                content = {"init_from": source.name}
                replace_text(run_path / SOURCE_FILE, json.dumps(content, indent=2) + "\n")
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
            f"{path} cannot be restored ({reason(error)}); put a copy back, or give "
            "--noreferences, which measures the trained encoder alone"
        ) from error


def described(experiment: Experiment) -> str:
    """Which weights a run began with, without folders: for those who get the encoder alone.

    Args:
        experiment: of a run that has a checkpoint.

    Returns:
        As "the weights of net.keras (SHA-256 0123456789ab...)"; empty where they were random.

    Raises:
        InputError: a file of the run folder is damaged.
    """
    if not begins_with_given_weights(experiment):
        return ""
    path = experiment.run_path / SOURCE_FILE
    if experiment.encoder.init_from:
        if not path.is_file():
            return f"the weights of {Path(experiment.encoder.init_from).name} (--init_from)"
        name = read_json(path, "remove it: it serves the model card alone").get("init_from")
        return f"the weights of {name} (--init_from)"
    if experiment.encoder.weights == IMAGENET:
        return f"ImageNet weights of {experiment.encoder.name}"
    files = experiment.encoder.files
    setting = "encoder_weights" if "encoder_weights" in files else "encoder"
    if setting not in files:
        return f"the weights of {experiment.encoder.name}"
    record = encoder_record.read(experiment.run_path)
    digest = record.sha256.get(setting, "") if record else ""
    return f"the weights of {files[setting].name}" + (
        f" (SHA-256 {digest[:12]}...)" if digest else ""
    )


def schedule(experiment: Experiment, step: int) -> str:
    """How the weights of a Keras model were trained until `step`; empty: as all others."""
    steps, scale = experiment.encoder.frozen_steps, experiment.encoder.backbone_learning_rate_scale
    if steps >= step:
        return ", frozen throughout"
    frozen = f", frozen for the first {steps:,} steps" * (steps > 0)
    then = "then " * (steps > 0)
    return frozen + f", {then}trained at {scale:g} times the learning rate" * (scale != 1)
