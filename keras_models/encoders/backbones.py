"""Keras models by name, as encoders: keras:CLASS, keras_hub:PRESET, FILE.keras."""

import difflib
import inspect
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_models import keras_settings
from keras_models.encoders import keras_file
from keras_models.encoders.backbone import BackboneEncoder

KERAS, HUB, FILE = "keras:", "keras_hub:", ".keras"
RANDOM, IMAGENET = "random", "imagenet"
# What a class of keras.applications was trained on, by the beginning of its name; the longest that
# fits counts. It is what preprocess_input of its module does, and where that does nothing, what the
# layers do that include_preprocessing=True puts in:
# https://github.com/keras-team/keras/tree/v3.15.1/keras/src/applications
# EfficientNetB0 to B7 hold these layers always.
SCALINGS: dict[str, str | tuple[float, float]] = {
    "ConvNeXt": "torch",
    "DenseNet": "torch",
    "EfficientNetB": "0..255",
    "EfficientNetV2B": "torch",
    "EfficientNetV2S": (128.0, 128.0),
    "EfficientNetV2M": (128.0, 128.0),
    "EfficientNetV2L": (128.0, 128.0),
    "Inception": "-1..1",
    "MobileNet": "-1..1",
    "NASNet": "-1..1",
    "ResNet": "caffe",
    "ResNet50V2": "-1..1",
    "ResNet101V2": "-1..1",
    "ResNet152V2": "-1..1",
    "VGG": "caffe",
    "Xception": "-1..1",
}
_DOWNLOAD_FAILED = re.compile(r"URL fetch failure on (\S+): (.*)", re.DOTALL)
_POLICY = "DTypePolicy"


def is_backbone(name: str) -> bool:
    """Whether a name is of a Keras model, and not of a preset of this package."""
    return name.startswith((KERAS, HUB)) or name.endswith(FILE)


def get(
    name: str,
    /,
    image_shape: Sequence[int | None],
    weights: str | None = None,
    input_scaling: str | Sequence | None = None,
    **arguments,
) -> BackboneEncoder:
    """Makes the encoder around a Keras model of that name.

    >>> encoder = get("keras:MobileNetV3Small", (96, 96, 3), latent_dim=32)
    >>> encoder.endpoint_shapes()["global"], encoder.input_scaling
    ((None, 32), '-1..1')

    Args:
        name: keras:CLASS, a class of `keras.applications`, without its classification layer and
            without preprocessing in it, where it can be left out; keras_hub:PRESET, the backbone of
            a preset of KerasHub; or the path of a .keras file.
        image_shape: (height, width, channels) of the images; channels None: as many as the model
            takes, 3 where it takes any.
        weights: "random"; "imagenet", of keras: alone; or a file of weights of the same backbone:
            .weights.h5 or .h5, as Keras writes them, or .keras. None: of keras: random, of the
            others their own.
        input_scaling: of `BackboneEncoder`; None: what the class or the preset was trained on. A
            .keras file does not say, and must be given one, unless its weights are random or it
            takes whole numbers, which are pixels in 0..255.
        **arguments: of `BackboneEncoder`.

    Raises:
        ValueError: there is no such model, it does not fit the images, or its weights or its input
            scaling are not there.
        ImportError: keras_hub is not installed.
    """
    backbone = load(name, image_shape, weights)
    if input_scaling is None:
        input_scaling = _scaling_of(name, weights, _takes_whole_numbers(backbone))
    inputs = getattr(backbone, "inputs", None)  # a Sequential without keras.Input has none
    own = inputs[0].shape[-1] if inputs else None
    if image_shape[2] is None and own not in (None, 1, 3):
        raise ValueError(
            f"{backbone.name} takes images of {own} channels; images have 1 or 3, so give a model "
            "of that many"
        )
    shape: Any = (*image_shape[:2], image_shape[2] or own or 3)
    return BackboneEncoder(backbone, input_scaling=input_scaling, image_shape=shape, **arguments)


def load(name: str, image_shape: Sequence[int | None], weights: str | None = None) -> keras.Model:
    """The backbone of that name, for images of that shape, with its weights; arguments as `get`.

    Its layers compute by Keras' policy, whatever they did where it was saved.
    """
    image_shape = (*image_shape[:2], image_shape[2] or 3)
    _check_weights(name, weights)
    if name.startswith(KERAS):
        model = _of_applications(name.removeprefix(KERAS), image_shape, weights == IMAGENET)
        has_weights = weights == IMAGENET
    else:
        has_weights = weights is None
        is_preset = name.startswith(HUB)
        model = _of_hub(name, image_shape, has_weights) if is_preset else _of_file(name)
    # Made from its description in any case: a run makes it again from that, and the names of a
    # model's variables can depend on which of the two it was made from.
    backbone = from_description(description(model))
    if has_weights:
        _check_finite(name, model)
        backbone.set_weights(model.get_weights())
    elif weights not in (None, RANDOM):
        load_weights(backbone, str(weights))
    return backbone


def description(model: keras.Model) -> dict[str, Any]:
    """All of a Keras model but its weights, as JSON has it."""
    return keras.saving.serialize_keras_object(model)


def from_description(config: dict[str, Any]) -> Any:
    """A Keras model or layer with new random weights, which computes by Keras' policy now.

    Args:
        config: what `description` gave, under any policy. Layers that have another than most keep
            it. Seeds of initial weights do not count: these are drawn anew.
    """
    policies = Counter(one["config"]["name"] for one in _objects(config, _POLICY))
    usual = policies.most_common(1)[0][0] if policies else None
    config = _mapped(config, usual, keras.config.dtype_policy().name)
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def _objects(config: Any, class_name: str) -> Iterator[dict]:
    if isinstance(config, dict):
        if config.get("class_name") == class_name:
            yield config
        for inner in config.values():
            yield from _objects(inner, class_name)
    elif isinstance(config, list | tuple):
        for inner in config:
            yield from _objects(inner, class_name)


def _mapped(config: Any, usual: str | None, policy: str) -> Any:
    """A copy of a description, with another policy and without the seeds of initial weights."""
    if isinstance(config, list | tuple):
        return [_mapped(inner, usual, policy) for inner in config]
    if not isinstance(config, dict):
        return config
    copy = {key: _mapped(inner, usual, policy) for key, inner in config.items()}
    if copy.get("class_name") == _POLICY and copy["config"]["name"] == usual:
        copy["config"]["name"] = policy
    if copy.get("module") == "keras.initializers" and copy["config"].get("seed") is not None:
        copy["config"]["seed"] = None
    return copy


def load_weights(backbone: keras.Model, path: str) -> None:
    """Gives a backbone the weights in a file.

    Args:
        backbone: built.
        path: .keras, or .weights.h5 or .h5 as Keras writes them.

    Raises:
        ValueError: there is no such file, it cannot be read, or is of another backbone.
    """
    if not os.path.isfile(path):  # of a name that is too long, Path.is_file raises OSError
        raise ValueError(f"there is no file of weights {path!r}")
    if not path.endswith((FILE, ".h5")):
        raise ValueError(f"{path!r} is no file of weights; expected .weights.h5, .h5 or .keras")
    if path.endswith(FILE):
        model = _of_file(path)
        different = first_difference(_shapes(backbone.variables), _shapes(model.variables))
        if different:
            raise ValueError(f"{path} is of another backbone than {backbone.name}: {different}")
        _check_finite(path, model)
        backbone.set_weights(model.get_weights())
        return
    # Keras passes over what a file lacks, with a warning at most: then this stays.
    backbone.set_weights([_nan(v) for v in backbone.weights])
    try:
        backbone.load_weights(path)
        left = [v.path for v in backbone.weights if not _is_finite(v)]
        if left:
            raise ValueError(f"it has none for {left[0]}, or such that are not finite")
    except Exception as error:  # Keras and h5py raise all kinds
        raise ValueError(
            f"{path} holds no weights of this {backbone.name} ({_first_line(error)})"
        ) from error


def _check_finite(name, model):
    infinite = [v.path for v in model.weights if not _is_finite(v)]
    if infinite:
        raise ValueError(
            f"{name} has weights that are NaN or infinite, first in {infinite[0]}; give a model "
            "whose training went well"
        )


def _is_finite(variable) -> bool:
    return bool(np.isfinite(_numbers(variable)).all())


def _numbers(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)


def _nan(variable) -> np.ndarray:
    """NaN in the variable's shape; of whole numbers, what they are."""
    numbers = _numbers(variable)
    return np.full_like(numbers, np.nan) if np.issubdtype(numbers.dtype, np.floating) else numbers


def _shapes(variables) -> list[tuple[str, tuple[int, ...]]]:
    return [(v.path, tuple(v.shape)) for v in variables]


def first_difference(
    here: Sequence[tuple[str, tuple[int, ...]]], there: Sequence[tuple[str, tuple[int, ...]]]
) -> str:
    """Where two lists of variables, in their order, first differ in a shape; empty: nowhere.

    Args:
        here: name and shape of each variable.
        there: likewise, of what is to be put into them.
    """
    for number, ((name, shape), (other, wanted)) in enumerate(zip(here, there, strict=False), 1):
        if shape != wanted:
            return (
                f"variable {number} is {name} of shape {list(shape)} here, {other} of shape "
                f"{list(wanted)} there"
            )
    if len(here) != len(there):
        more, where = (here, "here") if len(here) > len(there) else (there, "there")
        name = more[min(len(here), len(there))][0]
        return f"{len(here)} variables here, {len(there)} there, {name} only {where}"
    return ""


def _check_weights(name, weights):
    words = (RANDOM, IMAGENET) if name.startswith(KERAS) else (RANDOM,)
    if weights is None or weights in words:
        return
    if weights == IMAGENET:
        raise ValueError(f"weights 'imagenet' are those of {KERAS}CLASS; {name} has its own")
    if not weights.endswith((FILE, ".h5")):
        named = ", ".join(map(repr, words))
        raise ValueError(f"weights {weights!r}; expected {named}, or a file .weights.h5 or .keras")


def _takes_whole_numbers(backbone) -> bool:
    inputs = getattr(backbone, "inputs", None) or []
    return bool(inputs) and keras.backend.is_int_dtype(inputs[0].dtype)


def _scaling_of(name, weights, whole_numbers=False):
    if whole_numbers:
        return "0..255"
    if name.startswith(KERAS):
        fitting = [one for one in SCALINGS if name.removeprefix(KERAS).startswith(one)]
        if fitting:
            return SCALINGS[max(fitting, key=len)]
    elif name.startswith(HUB):
        scaling = _hub_scaling(name.removeprefix(HUB))
        if scaling:
            return scaling
    if weights == RANDOM:
        return "-1..1"
    kind = "class" if name.startswith(KERAS) else "preset" if name.startswith(HUB) else "file"
    raise ValueError(
        f"the {kind} does not say what its weights were trained on; give input_scaling: -1..1, "
        "0..1, 0..255, torch, caffe, or an offset and a scale of pixels in 0..255"
    )


def _application(name):
    classes = {
        one: maker
        for one, maker in vars(keras.applications).items()
        if callable(maker) and "include_top" in inspect.signature(maker).parameters
    }
    # That is what others are made by; it takes their parts.
    classes.pop("ConvNeXtBase", None)
    if name not in classes:
        lower = {one.lower(): one for one in classes}
        near = difflib.get_close_matches(name.lower(), lower, 3, 0.5)
        near = [lower[one] for one in near] or ["ResNet50V2"]
        raise ValueError(
            f"keras.applications has no class {name!r}; it has {', '.join(near)} and others: "
            "https://keras.io/api/applications/"
        )
    return classes[name]


def _of_applications(name, image_shape, with_weights):
    maker = _application(name)
    arguments = {
        "include_top": False,
        "weights": IMAGENET if with_weights else None,
        "input_shape": tuple(image_shape),
    }
    if "include_preprocessing" in inspect.signature(maker).parameters:
        arguments["include_preprocessing"] = False
    try:
        with warnings.catch_warnings():
            # That weights of 224 pixels are taken for other sizes, which is what is wanted.
            warnings.filterwarnings("ignore", ".*input_shape.*", UserWarning)
            return maker(**arguments)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        failed = _DOWNLOAD_FAILED.fullmatch(str(error))
        if failed:
            url, why = failed[1], failed[2].removeprefix("None -- ")
            folder = keras_settings.config_file(os.environ).parent / "models"
            raise ValueError(
                f"the weights of {name} cannot be downloaded from {url} ({why}); download that "
                f"file where there is a network and put it into {folder}, or give its path as the "
                "weights"
            ) from error
        raise ValueError(
            f"{name} of images of shape {image_shape}: {_first_line(error)}"
        ) from error


def _hub():
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            f"{HUB}PRESET needs the package keras-hub ({error}); pip install keras-hub, which "
            "dim_tf[hub] does"
        ) from error
    return keras_hub


def _of_hub(name, image_shape, with_weights):
    preset = name.removeprefix(HUB)
    keras_hub = _hub()
    try:
        return keras_hub.models.Backbone.from_preset(
            preset, load_weights=with_weights, image_shape=tuple(image_shape)
        )
    except Exception as error:  # of Keras, Kaggle's and Hugging Face's clients
        raise ValueError(
            f"keras_hub has no preset {preset!r} for images of shape {tuple(image_shape)}, or "
            f"cannot download it ({_first_line(error)}); give a preset or its folder, for images "
            "of its size: https://keras.io/keras_hub/presets/"
        ) from error


def _hub_scaling(preset):
    """(offset, scale) of what the preset does with pixels; None: it does not say."""
    keras_hub = _hub()
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except Exception:  # it has none, or is not there, which loading it tells of
        return None
    factors = [1.0 if converter.scale is None else converter.scale]
    factors.append(0.0 if converter.offset is None else converter.offset)
    factor, shift = (list(x) if isinstance(x, Sequence) else [float(x)] for x in factors)
    channels = max(len(factor), len(shift))
    factor, shift = (x * (channels // len(x)) for x in (factor, shift))
    # x · factor + shift = (x - offset) / scale
    scale = [1 / a for a in factor]
    return [-b / a for a, b in zip(factor, shift, strict=True)], scale


def _of_file(path):
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path!r}")
    try:
        return keras_file.load(path)
    except Exception as error:  # a file from elsewhere makes its parser fail in every way
        inner: BaseException = error
        while deeper := inner.__cause__ or (not inner.__suppress_context__ and inner.__context__):
            inner = deeper  # Keras wraps what was wrong, once for each level
        raise ValueError(f"{path} cannot be loaded ({_first_line(inner)})") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if len(lines) > 1 and lines[0].endswith(":"):  # Keras' "Example error message for object X:"
        lines[0] += " " + lines[1]
    line = lines[0].partition(" Target variable:")[0]  # after which Keras writes its numbers
    return line if len(line) <= 300 else f"{line[:297]}..."
