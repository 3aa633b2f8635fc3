"""--init_from: an encoder that begins with the weights of another run's, or of an exported one."""

import dataclasses
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.errors import InputError, RunError
from dim_tf.experiment import Experiment
from dim_tf.export import backbone_file, verify
from dim_tf.files import json_object, read_text
from dim_tf.settings.encoder import is_backbone
from dim_tf.training import architecture, encoder_record
from dim_tf.training.checkpoint import restore_encoder
from dim_tf.training.model import encoder_name, make_encoder
from dim_tf.writing import reason
from keras_models.encoders import BackboneEncoder, Encoder
from keras_models.encoders.backbone import INPUT_SCALINGS
from keras_models.encoders.backbones import first_difference

# What the checkpoint in a SavedModel of ours calls the encoder's variables, in their order.
_EXPORTED = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
_SHOWN = ("local_layer", "conv_layer", "batch_norm")  # they change no variable's meaning


@dataclass(frozen=True)
class Source:
    """Whose weights an encoder begins with.

    Attributes:
        path: of the run folder, or of the exported version.
        step: of the run; None: it is an export.
        settings: of the backbone, where they differ from this run's: "conv_layer 'late', here
            'early'".
    """

    path: Path
    step: int | None = None
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Without the folders that it is in."""
        path = Path(os.path.abspath(self.path))
        if self.step is not None:
            return f"step {self.step} of the run {path.name}"
        return f"the exported encoder {path.parent.name}, version {path.name}"

    def __str__(self):
        whose = f"the exported encoder {self.path}"
        if self.step is not None:
            whose = f"step {self.step} of {self.path}"
        return f"of {whose}" + (f" ({'; '.join(self.settings)})" if self.settings else "")


@dataclass(frozen=True)
class _Weights:
    """Weights, and what is known of the encoder that they are of.

    Attributes:
        source: where they are.
        shapes: name and shape of each variable.
        values: of each variable.
        name: of the encoder; empty: unknown.
        flag: what --encoder must be for it.
        backbone: description of its Keras model; empty: unknown, or it has none.
        settings: of its Keras model; what is unknown is missing.
    """

    source: Source
    shapes: list[tuple[str, tuple[int, ...]]]
    values: list[np.ndarray]
    name: str = ""
    flag: str = ""
    backbone: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def assign(encoder: Encoder, experiment: Experiment) -> Source:
    """Gives an encoder the weights of --init_from.

    Critics, heads and the optimizers' state of that run are not taken: they are of its objective.

    Args:
        encoder: the experiment's, built.
        experiment: whose `init_from` is a run folder or a version of an exported encoder.

    Returns:
        Whose weights they are.

    Raises:
        InputError: there is no such run or export; or its encoder has another architecture, or
            takes pixels in another scaling.
    """
    path = Path(experiment.encoder.init_from)
    if (path / "saved_model.pb").is_file():
        weights = _of_export(path)
        _check_kind(path, experiment, encoder, weights.name, weights.flag)
    else:
        weights = _of_run(path, experiment, encoder)
    mine = encoder.get_config() if isinstance(encoder, BackboneEncoder) else {}
    different = ""
    if mine and weights.backbone:
        different = architecture.first_difference(mine["backbone"], weights.backbone)
    here = [(v.path, tuple(v.shape)) for v in encoder.variables]
    different = different or first_difference(here, weights.shapes)
    if different:
        flag = f"--encoder={weights.flag} and " if weights.flag else ""
        raise InputError(
            f"--init_from={path} has another encoder than this run ({different}); give {flag}the "
            "settings of that encoder, or another --init_from"
        )
    _check_scaling(path, mine, weights.settings, encoder.image_shape[-1])
    for variable, value in zip(encoder.variables, weights.values, strict=True):
        variable.assign(value)
    notes = tuple(
        f"{name} {weights.settings[name]!r}, here {mine[name]!r}"
        for name in _SHOWN
        if mine and weights.settings.get(name, mine[name]) != mine[name]
    )
    return dataclasses.replace(weights.source, settings=notes)


def _check_kind(path, experiment, encoder, name, flag):
    """Raises InputError where one of the two encoders is a Keras model and the other is not."""
    if name and is_backbone(name) != isinstance(encoder, BackboneEncoder):
        mine = encoder_name(experiment, encoder.image_shape[0])
        raise InputError(
            f"--init_from={path}: that encoder is {name}, this run's {mine}; give "
            f"--encoder={flag}, or another --init_from"
        )


def _check_scaling(path, mine, theirs, channels):
    """Raises InputError where pixels are scaled in another way than the weights were learned."""
    if not mine or "input_scaling" not in theirs:
        return
    here, there = mine["input_scaling"], theirs["input_scaling"]
    same_order = (here == "caffe") == (there == "caffe")
    if not same_order or not np.array_equal(_numbers(here, channels), _numbers(there, channels)):
        here, there = (backbone_file.scaling_flag(one) for one in (here, there))
        raise InputError(
            f"--init_from={path} learned from pixels of --input_scaling={there}, this run's "
            f"encoder takes {here}; give --input_scaling={there}"
        )


def _numbers(scaling, channels):
    """Offsets and scales, float32 [2, channels]."""
    if isinstance(scaling, str):
        scaling = [numbers[:channels] for numbers in INPUT_SCALINGS[scaling]]
    return np.stack([np.broadcast_to(np.float32(numbers), channels) for numbers in scaling])


def _of_export(path) -> _Weights:
    verify.check(str(path), "--init_from")
    try:
        reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
        shapes = reader.get_variable_to_shape_map()
        names: list[str] = []
        while _EXPORTED.format(len(names)) in shapes:
            names.append(_EXPORTED.format(len(names)))
        values = [reader.get_tensor(name) for name in names]
        metadata = json_object(read_text(path / "assets" / "metadata.json"))
        backbone, flag = {}, str(metadata.get("encoder", ""))
        if (path / backbone_file.FILE).is_file():
            flag = str(path / backbone_file.FILE)
            with zipfile.ZipFile(path / backbone_file.FILE) as archive:
                backbone = json.loads(archive.read("config.json"))
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"--init_from={path} cannot be read ({reason(error)})") from error
    except tf.errors.OpError as error:
        raise InputError(f"--init_from={path} cannot be read ({reason(error)})") from error
    if not names:
        raise InputError(
            f"--init_from={path} is no encoder that --mode=export wrote; give one, as "
            "exported/dim_cifar10/1, or a run folder"
        )
    shapes = [(f"variable {n}", tuple(value.shape)) for n, value in enumerate(values, 1)]
    name, settings = str(metadata.get("encoder", "")), metadata.get("backbone")
    settings = settings if isinstance(settings, dict) else {}
    return _Weights(Source(path), shapes, values, name, flag, backbone, settings)


def _of_run(path, experiment, own) -> _Weights:
    try:
        text = read_text(path / "experiment.json")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--init_from={path} is no run folder (experiment.json: {reason(error)}) and no "
            "exported encoder (no saved_model.pb); give one, as exported/dim_cifar10/1"
        ) from error
    try:
        theirs = Experiment.from_json(text).replace(run_dir=str(path), init_from="")
        name = encoder_name(theirs, own.image_shape[0])
    except InputError as error:
        raise InputError(f"--init_from={path}: {error}") from error
    flag = theirs.encoder.name or name
    _check_kind(path, experiment, own, name, flag)
    try:
        record = encoder_record.read(path)
        encoder = make_encoder(theirs, own.image_shape, record=record)
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
    shapes = [(v.path, tuple(v.shape)) for v in encoder.variables]
    values = [v.numpy() for v in encoder.variables]
    settings = dict(record.encoder) if record else {}
    backbone = settings.pop("backbone", {})
    return _Weights(Source(path, step), shapes, values, name, flag, backbone, settings)
