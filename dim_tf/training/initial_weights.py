"""--init_from: an encoder that begins with the weights of another run's, or of an exported one."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from dim_tf.errors import InputError, RunError
from dim_tf.experiment import Experiment
from dim_tf.export import verify
from dim_tf.files import read_text
from dim_tf.training import encoder_record
from dim_tf.training.checkpoint import restore_encoder
from dim_tf.training.model import make_encoder
from dim_tf.writing import reason
from keras_models.encoders import Encoder
from keras_models.encoders.backbones import first_difference

# What the checkpoint in a SavedModel of ours calls the encoder's variables, in their order.
_EXPORTED = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"


def assign(encoder: Encoder, experiment: Experiment) -> str:
    """Gives an encoder the weights of --init_from.

    Critics, heads and the optimizers' state of that run are not taken: they are of its objective.

    Args:
        encoder: the experiment's, built.
        experiment: whose `init_from` is a run folder or a version of an exported encoder.

    Returns:
        What the weights are, for the log.

    Raises:
        InputError: there is no such run or export, or its encoder has another architecture.
    """
    path = Path(experiment.init_from)
    if (path / "saved_model.pb").is_file():
        named, values = _of_export(path)
        source = f"of the exported encoder {path}"
    else:
        named, values, step = _of_run(path, encoder.image_shape)
        source = f"of step {step} of {path}"
    here = [(v.path, tuple(v.shape)) for v in encoder.variables]
    different = first_difference(here, named)
    if different:
        raise InputError(
            f"--init_from={path} has another encoder than this run ({different}); give the "
            "settings of that encoder, or another --init_from"
        )
    for variable, value in zip(encoder.variables, values, strict=True):
        variable.assign(value)
    return source


def _of_export(path):
    verify.check(str(path), "--init_from")
    try:
        reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
        shapes = reader.get_variable_to_shape_map()
        names: list[str] = []
        while _EXPORTED.format(len(names)) in shapes:
            names.append(_EXPORTED.format(len(names)))
        values = [reader.get_tensor(name) for name in names]
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(f"--init_from={path} cannot be read ({reason(error)})") from error
    if not names:
        raise InputError(
            f"--init_from={path} is no encoder that --mode=export wrote; give one, as "
            "exported/dim_cifar10/1, or a run folder"
        )
    named = [(f"variable {n}", tuple(value.shape)) for n, value in enumerate(values, 1)]
    return named, values


def _of_run(path, image_shape):
    try:
        text = read_text(path / "experiment.json")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--init_from={path} is no run folder (experiment.json: {reason(error)}) and no "
            "exported encoder (no saved_model.pb); give one, as exported/dim_cifar10/1"
        ) from error
    try:
        theirs = dataclasses.replace(Experiment.from_json(text), run_dir=str(path), init_from="")
        record = encoder_record.read(path)
        encoder = make_encoder(theirs, image_shape, record=record)
    except InputError as error:
        raise InputError(f"--init_from={path}: {error}") from error
    encoder.build()
    try:
        step = restore_encoder(encoder, path / "checkpoints")
    except RunError as error:
        line = str(error).partition("\n")[0]
        raise InputError(f"--init_from={path}: {line}") from error
    if not step:
        raise InputError(f"--init_from={path} has no checkpoint of a trained encoder; train it")
    named = [(v.path, tuple(v.shape)) for v in encoder.variables]
    return named, [v.numpy() for v in encoder.variables], step
