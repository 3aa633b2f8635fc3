"""Loads encoders from files: SavedModels from this or any other program, and Keras files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from dim_tf.export import (
    hub_layer,  # noqa: F401  so that Keras knows the layer, which refuses
    verify,
)
from dim_tf.system.errors import InputError
from dim_tf.system.files import read_text
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import parse_json_object
from keras_models.encoders import keras_file


@dataclass(frozen=True)
class SavedEncoder:
    """An encoder loaded from a file.

    Attributes:
        image_shape: (height, width, channels) of its input; None for a size that may be any.
        endpoints: float32 [N, H, W, C] in [0, 1] -> features by endpoint. Our encoders have conv,
            fc and global; others return one, which is named global.
        description: The file, and how the model is called.
    """

    image_shape: tuple[int | None, int | None, int]
    endpoints: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    description: str


def load(path: str, flag: str = "--encoder_path") -> SavedEncoder:
    """Loads an encoder.

    A SavedModel is called by its signature `endpoints` if that returns "global", as our exports do;
    else by `serving_default`; else directly, as for TF Hub.

    Args:
        path: A folder with saved_model.pb, or a .keras file.
        flag: The flag that gave it, for messages.

    Raises:
        InputError: The file does not exist or cannot be loaded, does not take exactly one float32
            tensor of images, or does not return exactly one tensor.
    """
    if path.endswith(".keras") and Path(path).is_file():
        return _from_keras(path, f"{flag}={path}")
    if not Path(path, "saved_model.pb").is_file():
        raise InputError(
            f"{flag}={path} is no SavedModel (no saved_model.pb) and no .keras file; give "
            "one, such as exported/cifar10/1"
        )
    verify.check(path, flag)
    given = f"{flag}={path}"
    try:
        loaded = tf.saved_model.load(path)
    except Exception as error:  # a file from elsewhere makes its parser fail in any way
        raise _cannot_load(given, error) from error
    _check_takes_pictures(path, given)
    signatures = loaded.signatures
    if "endpoints" in signatures and "global" in signatures["endpoints"].structured_outputs:
        return _from_signature(path, given, loaded, "endpoints")
    if "serving_default" in signatures:
        return _from_signature(path, given, loaded, "serving_default")
    if not callable(loaded):
        raise InputError(
            f"the SavedModel in {given} has no signature serving_default and cannot "
            "be called; export it with one"
        )
    called = loaded.__call__.concrete_functions[0]
    specs = tf.nest.flatten(called.structured_input_signature[0][:1])
    get_tensor = _tensor_getter(given, called.structured_outputs)
    return SavedEncoder(
        _image_shape(given, specs),
        lambda images: {"global": _vector(get_tensor(loaded(images)))},
        f"SavedModel {path}, called",
    )


def _check_takes_pictures(path, given):
    """Refuses an export for arrays: it does not take the values in [0, 1] that are measured."""
    try:
        metadata = parse_json_object(read_text(Path(path, "assets", "metadata.json")))
    except (OSError, ValueError):  # of another program, with other files
        return
    if "value_scaling" in metadata:
        raise InputError(
            f"the encoder in {given} takes arrays in their own values; measure its run instead, by "
            "--run_dir"
        )


def _from_keras(path, given):
    try:
        model = keras_file.load(path)
    except Exception as error:  # a file from elsewhere makes its parser fail in any way
        raise _cannot_load(given, error) from error
    if getattr(model, "inputs", None) is None:
        raise InputError(
            f"the Keras model in {given} does not tell its inputs and outputs, as "
            "those written as a subclass or without keras.Input; export it as a SavedModel, or "
            "wrap it in a functional one"
        )
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in tf.nest.flatten(model.inputs)]
    get_tensor = _tensor_getter(given, model.output)
    return SavedEncoder(
        _image_shape(given, specs),
        lambda images: {"global": _vector(get_tensor(model(images, training=False)))},
        f"Keras model {path}",
    )


def _from_signature(path, given, loaded, name):
    signature = loaded.signatures[name]
    inputs = signature.structured_input_signature[1]
    image_shape = _image_shape(given, list(inputs.values()))
    get_tensor = _tensor_getter(given, signature.structured_outputs)

    def endpoints(images):
        # Through `loaded`, because a signature does not keep its model's variables alive.
        outputs = loaded.signatures[name](**{next(iter(inputs)): images})
        return outputs if name == "endpoints" else {"global": _vector(get_tensor(outputs))}

    return SavedEncoder(image_shape, endpoints, f"SavedModel {path}, {name}")


def _cannot_load(given, error):
    while inner := error.__cause__ or (not error.__suppress_context__ and error.__context__):
        error = inner  # Keras wraps what was wrong, once for each level
    return InputError(f"{given} cannot be loaded ({reason(error)})")


def _image_shape(given, specs: list[tf.TensorSpec]) -> tuple[int | None, int | None, int]:
    if len(specs) != 1 or specs[0].dtype != tf.float32 or len(specs[0].shape) != 4:
        inputs = ", ".join(f"{spec.dtype.name} {spec.shape}" for spec in specs)
        raise InputError(
            f"the encoder in {given} takes {inputs or 'nothing'}; expected one "
            "float32 tensor of images [N, H, W, C]"
        )
    height, width, channels = specs[0].shape[1:]
    if channels not in (None, 1, 3):
        raise InputError(
            f"the encoder in {given} takes images of {channels} channels; expected 1 or 3"
        )
    return height, width, channels or 3


def _tensor_getter(given, outputs: Any) -> Callable[[Any], tf.Tensor]:
    """Returns a function that gets the only tensor from a structure like `outputs`."""
    if not isinstance(outputs, dict):
        if len(tf.nest.flatten(outputs)) != 1:
            raise InputError(
                f"the encoder in {given} gives {len(tf.nest.flatten(outputs))} "
                "tensors; expected one"
            )
        return lambda structure: tf.nest.flatten(structure)[0]
    named = [name for name in ("global", "default") if name in outputs]
    if len(outputs) > 1 and not named:
        raise InputError(
            f"the encoder in {given} gives {', '.join(sorted(outputs))}; expected "
            "one tensor, or one that is named global or default"
        )
    name = named[0] if named else next(iter(outputs))
    return lambda structure: structure[name]


def _vector(features: tf.Tensor) -> tf.Tensor:
    """The mean of a map [N, h, w, C] over its locations."""
    return tf.reduce_mean(features, [1, 2]) if len(features.shape) == 4 else features
