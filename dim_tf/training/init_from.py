"""--init_from: loads the weights of another run or of an exported encoder into a new encoder."""

import dataclasses
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.experiment import Experiment
from dim_tf.export import backbone_file, verify
from dim_tf.registry import MODELS
from dim_tf.settings.encoder import is_backbone
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.files import read_text
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import parse_json_object
from dim_tf.training import architecture, encoder_config
from dim_tf.training.checkpoints import restore_encoder
from dim_tf.training.model import encoder_name, make_encoder
from keras_models.encoders import BackboneEncoder, Encoder
from keras_models.encoders.backbone_weights import first_difference
from keras_models.encoders.input_scaling import INPUT_SCALINGS

# Names of the encoder's variables in the checkpoint of our SavedModels, in order.
_EXPORTED_VARIABLE = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
# Settings of a backbone that do not change the meaning of a variable; differences are reported.
_REPORTED = ("local_layer", "conv_layer", "batch_norm")


@dataclass(frozen=True)
class WeightsSource:
    """Where --init_from took an encoder's weights from.

    Attributes:
        path: Path of the run folder, or of the exported version.
        step: Step of the run; None: it is an export.
        settings: Settings of the backbone that differ from this run's: "conv_layer 'late', here
            'early'".
    """

    path: Path
    step: int | None = None
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The run, or the exported encoder, without parent folders."""
        path = Path(os.path.abspath(self.path))
        if self.step is not None:
            return f"step {self.step} of the run {path.name}"
        return f"the exported encoder {path.parent.name}, version {path.name}"

    def __str__(self):
        source = f"the exported encoder {self.path}"
        if self.step is not None:
            source = f"step {self.step} of {self.path}"
        return f"of {source}" + (f" ({'; '.join(self.settings)})" if self.settings else "")


@dataclass(frozen=True)
class _Weights:
    """Weights, with what is known about their encoder.

    Attributes:
        source: Where they come from.
        shapes: Name and shape of each variable.
        values: Value of each variable.
        name: Name of the encoder; empty: unknown.
        flag: The value of --encoder for it.
        backbone: Description of its Keras model; empty: unknown, or it has none.
        settings: Settings of its Keras model that are known.
    """

    source: WeightsSource
    shapes: list[tuple[str, tuple[int, ...]]]
    values: list[np.ndarray]
    name: str = ""
    flag: str = ""
    backbone: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def load_weights(encoder: Encoder, experiment: Experiment) -> WeightsSource:
    """Loads the weights of --init_from into an encoder.

    That run's critics, heads and optimizer state belong to its objective and are not loaded.

    Args:
        encoder: The experiment's encoder, built.
        experiment: Its `init_from` is a run folder or a version of an exported encoder.

    Returns:
        Where the weights come from.

    Raises:
        InputError: The run or export does not exist, or its encoder has another architecture or
            input scaling.
    """
    path = Path(experiment.encoder.init_from)
    if (path / "saved_model.pb").is_file():
        weights = _read_export(path)
        _check_kind(path, experiment, encoder, weights.name, weights.flag)
    else:
        weights = _read_run(path, experiment, encoder)
    config = encoder.get_config() if isinstance(encoder, BackboneEncoder) else {}
    difference = ""
    if config and weights.backbone:
        difference = architecture.first_difference(config["backbone"], weights.backbone)
    shapes = [(v.path, tuple(v.shape)) for v in encoder.variables]
    difference = difference or first_difference(shapes, weights.shapes)
    if difference:
        flag = f"--encoder={weights.flag} and " if weights.flag else ""
        raise InputError(
            f"--init_from={path} has another encoder than this run ({difference}); give {flag}the "
            "settings of that encoder, or another --init_from"
        )
    _check_scaling(path, config, weights.settings, encoder.image_shape[-1])
    for variable, value in zip(encoder.variables, weights.values, strict=True):
        variable.assign(value)
    notes = tuple(
        f"{name} {weights.settings[name]!r}, here {config[name]!r}"
        for name in _REPORTED
        if config and weights.settings.get(name, config[name]) != config[name]
    )
    return dataclasses.replace(weights.source, settings=notes)


def _check_kind(path, experiment, encoder, name, flag):
    """Raises InputError if only one is a Keras model, or one of them is a fitted encoder."""
    if name in MODELS:
        raise InputError(
            f"--init_from={path}: that encoder is fitted by --model={name}, and other models "
            "cannot use it; give the run or export of an encoder that is trained"
        )
    if name and is_backbone(name) != isinstance(encoder, BackboneEncoder):
        name_here = encoder_name(experiment, encoder.image_shape)
        raise InputError(
            f"--init_from={path}: that encoder is {name}, this run's {name_here}; give "
            f"--encoder={flag}, or another --init_from"
        )


def _check_scaling(path, config, source_config, channels):
    """Raises InputError if the weights were learned from pixels with another scaling."""
    if not config or "input_scaling" not in source_config:
        return
    scaling, learned = config["input_scaling"], source_config["input_scaling"]
    same_order = (scaling == "caffe") == (learned == "caffe")
    if not same_order or not np.array_equal(
        _offsets_and_scales(scaling, channels), _offsets_and_scales(learned, channels)
    ):
        scaling, learned = map(backbone_file.scaling_flag, (scaling, learned))
        raise InputError(
            f"--init_from={path} learned from pixels of --input_scaling={learned}, this run's "
            f"encoder takes {scaling}; give --input_scaling={learned}"
        )


def _offsets_and_scales(scaling, channels):
    """float32 [2, channels]: offsets and scales."""
    if isinstance(scaling, str):
        scaling = [values[:channels] for values in INPUT_SCALINGS[scaling]]
    return np.stack([np.broadcast_to(np.float32(values), channels) for values in scaling])


def _read_export(path) -> _Weights:
    verify.check(str(path), "--init_from")
    try:
        reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
        shapes = reader.get_variable_to_shape_map()
        names: list[str] = []
        while _EXPORTED_VARIABLE.format(len(names)) in shapes:
            names.append(_EXPORTED_VARIABLE.format(len(names)))
        values = [reader.get_tensor(name) for name in names]
        metadata = parse_json_object(read_text(path / "assets" / "metadata.json"))
        backbone, flag = {}, str(metadata.get("encoder", ""))
        if (path / backbone_file.FILE).is_file():
            flag = str(path / backbone_file.FILE)
            with zipfile.ZipFile(path / backbone_file.FILE) as archive:
                backbone = json.loads(archive.read("config.json"))
    except (
        *(OSError, ValueError, KeyError, RuntimeError),
        *(zipfile.BadZipFile, tf.errors.OpError),
    ) as error:
        raise InputError(f"--init_from={path} cannot be read ({reason(error)})") from error
    if not names:
        raise InputError(
            f"--init_from={path} is no encoder that --mode=export wrote; give one, as "
            "exported/dim_cifar10/1, or a run folder"
        )
    shapes = [(f"variable {n}", tuple(value.shape)) for n, value in enumerate(values, 1)]
    name, settings = str(metadata.get("encoder", "")), metadata.get("backbone")
    settings = settings if isinstance(settings, dict) else {}
    return _Weights(WeightsSource(path), shapes, values, name, flag, backbone, settings)


def _read_run(path, experiment, run_encoder) -> _Weights:
    try:
        text = read_text(path / "experiment.json")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--init_from={path} is no run folder (experiment.json: {reason(error)}) and no "
            "exported encoder (no saved_model.pb); give one, such as exported/dim_cifar10/1"
        ) from error
    try:
        run_experiment = Experiment.from_json(text).replace(run_dir=str(path), init_from="")
        name = encoder_name(run_experiment, run_encoder.image_shape)
    except InputError as error:
        raise InputError(f"--init_from={path}: {error}") from error
    flag = run_experiment.encoder.name or name
    _check_kind(path, experiment, run_encoder, name, flag)
    try:
        config = encoder_config.read(path)
        encoder = make_encoder(run_experiment, run_encoder.image_shape, config=config)
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
    settings = dict(config.config) if config else {}
    backbone = settings.pop("backbone", {})
    return _Weights(WeightsSource(path, step), shapes, values, name, flag, backbone, settings)
