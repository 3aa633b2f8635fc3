"""Keras models by name, as encoders: keras:CLASS, keras_hub:PRESET, FILE.keras."""

import difflib
import inspect
import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from keras_models import keras_settings
from keras_models.encoders import backbone_config, backbone_weights, keras_file
from keras_models.encoders.backbone import BackboneEncoder

KERAS, HUB, FILE = "keras:", "keras_hub:", ".keras"
RANDOM, IMAGENET = "random", "imagenet"
# Input scaling of the classes of keras.applications, by the longest prefix of their names: that of
# preprocess_input in the class's module or, if that does nothing, of the layers that
# include_preprocessing=True adds:
# https://github.com/keras-team/keras/tree/v3.15.1/keras/src/applications
# EfficientNetB0 to B7 always contain these layers.
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


def is_backbone(name: str) -> bool:
    """Whether a name is that of a Keras model, not of a preset in this package."""
    return name.startswith((KERAS, HUB)) or name.endswith(FILE)


class UnknownScalingError(ValueError):
    """Nothing says what pixel values a backbone's weights were trained on.

    Attributes:
        reason: Why, without what to do about it.
    """

    def __init__(self, kind: str):
        self.reason = f"the {kind} does not say what its weights were trained on"
        super().__init__(
            f"{self.reason}; give input_scaling: -1..1, 0..1, 0..255, torch, caffe, or an offset "
            "and a scale of pixels in 0..255"
        )


def get(
    name: str,
    /,
    image_shape: Sequence[int | None],
    weights: str | None = None,
    input_scaling: str | Sequence | None = None,
    **arguments,
) -> BackboneEncoder:
    """The encoder around the Keras model of that name.

    >>> encoder = get("keras:MobileNetV3Small", (96, 96, 3), latent_dim=32)
    >>> encoder.endpoint_shapes()["global"], encoder.input_scaling
    ((None, 32), '-1..1')

    Args:
        name: keras:CLASS, a class of `keras.applications`, without its classification layer and, if
            possible, without preprocessing; keras_hub:PRESET, the backbone of a KerasHub preset; or
            the path of a .keras file.
        image_shape: (height, width, channels) of the images; channels None: as many as the model
            takes, or 3 if it takes any number.
        weights: "random"; "imagenet", for keras:CLASS only; or a file of weights of the same
            backbone: .weights.h5 or .h5, as Keras writes them, or .keras. None: random for
            keras:CLASS, else the model's own.
        input_scaling: As for `BackboneEncoder`; None: what the class or preset was trained on. It
            is required for a .keras file unless its weights are random or its inputs are integers,
            which are pixels in 0..255.
        **arguments: Other arguments of `BackboneEncoder`.

    Raises:
        UnknownScalingError: Nothing says what the weights were trained on.
        ValueError: The model does not exist or does not fit the images, or its weights are missing.
        ImportError: keras_hub is not installed.
    """
    backbone = load(name, image_shape, weights)
    if input_scaling is None:
        input_scaling = default_scaling(name, weights, has_integer_inputs(backbone))
    inputs = getattr(backbone, "inputs", None)  # a Sequential without keras.Input has none
    channels = inputs[0].shape[-1] if inputs else None
    if image_shape[2] is None and channels not in (None, 1, 3):
        raise ValueError(
            f"{backbone.name} takes images of {channels} channels; images have 1 or 3, so give a "
            "model of that many"
        )
    shape: Any = (*image_shape[:2], image_shape[2] or channels or 3)
    return BackboneEncoder(backbone, input_scaling=input_scaling, image_shape=shape, **arguments)


def load(name: str, image_shape: Sequence[int | None], weights: str | None = None) -> keras.Model:
    """The backbone of that name with its weights; arguments as for `get`.

    Its layers compute under Keras' current policy, whatever policy it was saved with.
    """
    image_shape = (*image_shape[:2], image_shape[2] or 3)
    _check_weights(name, weights)
    if name.startswith(KERAS):
        model = _load_application(name.removeprefix(KERAS), image_shape, weights == IMAGENET)
        has_weights = weights == IMAGENET
    else:
        has_weights = weights is None
        if name.startswith(HUB):
            model = _load_hub_preset(name, image_shape, has_weights)
        else:
            model = keras_file.load_or_value_error(name)
    # Rebuilt from its config, as a resumed run does: the names of a model's variables can depend on
    # how it was built.
    backbone = backbone_config.deserialize(backbone_config.serialize(model))
    if has_weights:
        backbone_weights.check_finite(name, model)
        backbone.set_weights(model.get_weights())
    elif weights not in (None, RANDOM):
        backbone_weights.load_weights(backbone, str(weights))
    return backbone


def _check_weights(name, weights):
    allowed = (RANDOM, IMAGENET) if name.startswith(KERAS) else (RANDOM,)
    if weights is None or weights in allowed:
        return
    if weights == IMAGENET:
        raise ValueError(f"weights 'imagenet' are those of {KERAS}CLASS; {name} has its own")
    if not weights.endswith((FILE, ".h5")):
        named = ", ".join(map(repr, allowed))
        raise ValueError(f"weights {weights!r}; expected {named}, or a file .weights.h5 or .keras")


def has_integer_inputs(backbone: keras.Model) -> bool:
    """Whether a backbone takes integers, which are pixels in 0..255."""
    inputs = getattr(backbone, "inputs", None) or []
    return bool(inputs) and keras.backend.is_int_dtype(inputs[0].dtype)


def default_scaling(name: str, weights: str | None, integer_inputs: bool = False) -> str | Sequence:
    """The `input_scaling` that `get` uses if none is given.

    Args:
        name: As for `get`.
        weights: As for `get`.
        integer_inputs: `has_integer_inputs` of the backbone.

    Raises:
        UnknownScalingError: Nothing says what the weights were trained on.
        ImportError: keras_hub is needed but not installed.
    """
    if integer_inputs:
        return "0..255"
    if name.startswith(KERAS):
        prefixes = [prefix for prefix in SCALINGS if name.removeprefix(KERAS).startswith(prefix)]
        if prefixes:
            return SCALINGS[max(prefixes, key=len)]
    elif name.startswith(HUB):
        scaling = _hub_scaling(name.removeprefix(HUB))
        if scaling:
            return scaling
    if weights == RANDOM:
        return "-1..1"
    kind = "class" if name.startswith(KERAS) else "preset" if name.startswith(HUB) else "file"
    raise UnknownScalingError(kind)


def _application(name):
    classes = {
        key: value
        for key, value in vars(keras.applications).items()
        if callable(value) and "include_top" in inspect.signature(value).parameters
    }
    # This is not a model but the function that builds the ConvNeXt models from their parts.
    classes.pop("ConvNeXtBase", None)
    if name not in classes:
        by_lower = {key.lower(): key for key in classes}
        near = difflib.get_close_matches(name.lower(), by_lower, 3, 0.5)
        near = [by_lower[key] for key in near] or ["ResNet50V2"]
        raise ValueError(
            f"keras.applications has no class {name!r}; it has {', '.join(near)} and others: "
            "https://keras.io/api/applications/"
        )
    return classes[name]


def _load_application(name, image_shape, with_weights):
    constructor = _application(name)
    arguments = {
        "include_top": False,
        "weights": IMAGENET if with_weights else None,
        "input_shape": tuple(image_shape),
    }
    if "include_preprocessing" in inspect.signature(constructor).parameters:
        arguments["include_preprocessing"] = False
    try:
        with warnings.catch_warnings():
            # The warning says that weights for 224 pixels are used for other sizes, which is
            # intended.
            warnings.filterwarnings("ignore", ".*input_shape.*", UserWarning)
            return constructor(**arguments)
    except Exception as error:  # Keras raises a bare Exception if a download fails
        match = _DOWNLOAD_FAILED.fullmatch(str(error))
        if match:
            url, why = match[1], match[2].removeprefix("None -- ")
            folder = keras_settings.config_file(os.environ).parent / "models"
            raise ValueError(
                f"the weights of {name} cannot be downloaded from {url} ({why}); download that "
                f"file where there is a network and put it into {folder}, or give its path as the "
                "weights"
            ) from error
        raise ValueError(
            f"{name} of images of shape {image_shape}: {keras_file.first_line(error)}"
        ) from error


def _import_keras_hub():
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            f"{HUB}PRESET needs the package keras-hub ({error}); pip install keras-hub, which "
            "dim_tf[hub] does"
        ) from error
    return keras_hub


def _load_hub_preset(name, image_shape, with_weights):
    preset = name.removeprefix(HUB)
    keras_hub = _import_keras_hub()
    try:
        return keras_hub.models.Backbone.from_preset(
            preset, load_weights=with_weights, image_shape=tuple(image_shape)
        )
    except Exception as error:  # of Keras, or of Kaggle's and Hugging Face's clients
        raise ValueError(
            f"keras_hub has no preset {preset!r} for images of shape {tuple(image_shape)}, or "
            f"cannot download it ({keras_file.first_line(error)}); give a preset or its folder, "
            "for images of its size: https://keras.io/keras_hub/presets/"
        ) from error


def _hub_scaling(preset):
    """(offset, scale) of a preset's preprocessing; None: it has no ImageConverter."""
    keras_hub = _import_keras_hub()
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
    except Exception:  # it has none; or the preset does not exist, which loading it reports
        return None
    factors = [1.0 if converter.scale is None else converter.scale]
    factors.append(0.0 if converter.offset is None else converter.offset)
    factor, shift = (list(x) if isinstance(x, Sequence) else [float(x)] for x in factors)
    channels = max(len(factor), len(shift))
    factor, shift = (x * (channels // len(x)) for x in (factor, shift))
    # x · factor + shift = (x - offset) / scale
    scale = [1 / a for a in factor]
    return [-b / a for a, b in zip(factor, shift, strict=True)], scale
