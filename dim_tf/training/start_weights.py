"""The weights from which training started, if they are not drawn from the seed.

Evaluation measures them as well as random ones, which separates what training added from what was
there before. The run keeps a copy, so that it needs the file or run from which they came only once.
"""

import json
import os
import shutil
from pathlib import Path

from dim_tf.experiment import Experiment
from dim_tf.settings.encoder import AUTO, HUB, IMAGENET, RANDOM
from dim_tf.system.errors import RunError
from dim_tf.system.files import atomic_write_text, temporary_path
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.json_files import read_json
from dim_tf.training import encoder_config
from dim_tf.training.init_from import WeightsSource
from keras_models.encoders import Encoder

FILE = "start_weights.weights.h5"
SOURCE_FILE = "start_weights.json"  # of --init_from


def begins_pretrained(experiment: Experiment) -> bool:
    """Whether its encoder starts from weights that are not drawn only from its seed."""
    encoder = experiment.encoder
    if encoder.init_from:
        return True
    if encoder.weights == AUTO:
        return encoder.name.startswith(HUB) or "encoder" in encoder.files
    return encoder.weights != RANDOM


def save(encoder: Encoder, run_path: Path, source: WeightsSource | None = None) -> None:
    """Writes an encoder's weights into the run folder, whole or not at all.

    Args:
        encoder: Built, before its first step of training.
        run_path: The run folder.
        source: Where --init_from took them from; None: they do not come from --init_from.

    Raises:
        RunError: They cannot be written.
    """
    # A temporary folder, because Keras only writes to names that end in .weights.h5.
    hidden = temporary_path(run_path / FILE)
    with translate_write_errors(FILE, run_path, "make room and give the same command again"):
        hidden.mkdir()
        try:
            encoder.save_weights(hidden / FILE)
            if source:
                content = {"init_from": source.name}
                atomic_write_text(run_path / SOURCE_FILE, json.dumps(content, indent=2) + "\n")
            os.replace(hidden / FILE, run_path / FILE)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def exists(run_path: Path) -> bool:
    """Whether the run keeps the weights from which it started."""
    return (run_path / FILE).is_file()


def restore(encoder: Encoder, run_path: Path) -> None:
    """Gives an encoder the weights from which the run started.

    Args:
        encoder: Built, with the run's architecture.
        run_path: The run folder.

    Raises:
        RunError: The file is damaged, or has another architecture.
    """
    path = run_path / FILE
    try:
        encoder.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path} cannot be restored ({reason(error)}); put a copy back, or give "
            "--noreferences, which measures the trained encoder alone"
        ) from error


def describe(experiment: Experiment) -> str:
    """Describes the weights from which a run started, without folders: for an exported encoder.

    Args:
        experiment: Experiment of a run that has a checkpoint.

    Returns:
        Text such as "the weights of net.keras (SHA-256 0123456789ab...)"; empty: random weights.

    Raises:
        InputError: A file in the run folder is damaged.
    """
    if not begins_pretrained(experiment):
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
    config = encoder_config.read(experiment.run_path)
    digest = config.sha256.get(setting, "") if config else ""
    return f"the weights of {files[setting].name}" + (
        f" (SHA-256 {digest[:12]}...)" if digest else ""
    )


def describe_freezing(experiment: Experiment, step: int) -> str:
    """Describes how a Keras model's weights were trained until `step`; empty: like all others."""
    steps, scale = experiment.encoder.frozen_steps, experiment.encoder.backbone_learning_rate_scale
    if steps >= step:
        return ", frozen throughout"
    frozen = f", frozen for the first {steps:,} steps" * (steps > 0)
    then = "then " * (steps > 0)
    return frozen + f", {then}trained at {scale:g} times the learning rate" * (scale != 1)
