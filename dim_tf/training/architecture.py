"""Where two Keras models differ, so that weights of one mean nothing in the other.

Equal shapes of variables do not tell: an activation has none.
"""

from collections.abc import Iterable
from typing import Any

# What the same weights compute does not depend on these: names, policies, the images' size, and
# what acts in training alone.
_IGNORED = {
    "name",
    "module",
    "registered_name",
    "build_config",
    "compile_config",
    "input_layers",
    "output_layers",
    "shape",
    "batch_shape",
    "build_input_shape",
    "image_shape",
    "dtype",
    "trainable",
    "training",
    "seed",
    "synchronized",
    "momentum",
    "renorm_momentum",
    "rate",
    "noise_shape",
}
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_OF_SIZE = ("ZeroPadding2D", "Cropping2D")  # keras.applications pads by the parity of a side


def first_difference(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Where two models first differ, in words; empty: nowhere.

    Args:
        here: description of a Keras model, as `keras.saving.serialize_keras_object` gives it.
        there: likewise.
    """
    return _of_values(here, there, "", "", ({}, {}))


def _of_values(here: Any, there: Any, key: str, layer: str, numbers: tuple[dict, dict]) -> str:
    if isinstance(here, dict) and isinstance(there, dict):
        return _of_dicts(here, there, key, layer, numbers)
    if _is_list(here) and _is_list(there):
        if key == "keras_history":  # [layer, node, tensor]
            here, there = (
                [of.get(one[0]), *one[1:]] for of, one in zip(numbers, (here, there), strict=True)
            )
            return "" if here == there else f"layer {layer!r} has another input"
        differences = (
            _of_values(one, other, key, layer, numbers)
            for one, other in zip(here, there, strict=False)
        )
        different = next(filter(None, differences), "")
        if different or len(here) == len(there):
            return different
        here, there = f"{len(here)} entries", len(there)
    if here == there:
        return ""
    whose = f"layer {layer!r}" if layer else "the model"
    return f"{key} of {whose} is {here} here, {there} there"


def _of_dicts(here, there, key, layer, numbers):
    if all(_is_list(one.get("layers")) for one in (here, there)):
        numbers = _numbers(here["layers"]), _numbers(there["layers"])
    if "class_name" in here and "config" in here:
        if here["class_name"] != there.get("class_name"):
            key = "class" if key == "layers" else key
            return _of_values(
                here["class_name"], there.get("class_name"), key, _name(here) or layer, numbers
            )
        if key == "layers":
            layer = _name(here)
            if here["class_name"] in _OF_SIZE:
                here = {**here, "config": {}}
                there = {**there, "config": {}}
    differences = (
        _of_values(here.get(one), there.get(one), key if one == "config" else one, layer, numbers)
        for one in _compared({**here, **there})
    )
    return next(filter(None, differences), "")


def _compared(keys: Iterable[str]):
    return (
        key
        for key in keys
        if key not in _IGNORED and not key.endswith(_OF_TRAINING) and "drop" not in key
    )


def _numbers(layers):
    """Layers' names, which differ from one making of a model to the next -> their places."""
    return {_name(one): number for number, one in enumerate(layers) if isinstance(one, dict)}


def _name(layer):
    config = layer.get("config")
    return layer.get("name") or (config.get("name", "") if isinstance(config, dict) else "")


def _is_list(value):
    return isinstance(value, list | tuple)
