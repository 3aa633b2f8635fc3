"""Compares two Keras models, because the weights of one mean nothing in another architecture.

Equal shapes of the variables are not enough: an activation has no variable.
"""

from collections.abc import Iterable
from typing import Any

# What the same weights compute does not depend on these: names, policies, the size of images, and
# what acts only in training.
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
_TRAINING_SUFFIXES = ("_initializer", "_regularizer", "_constraint")
_SIZE_LAYERS = ("ZeroPadding2D", "Cropping2D")  # keras.applications pads by the parity of a side


def first_difference(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Describes where two models first differ; empty if they do not.

    Args:
        here: Description of a Keras model, as returned by `keras.saving.serialize_keras_object`.
        there: Description of the other model.
    """
    return _compare(here, there, "", "", ({}, {}))


def _compare(here: Any, there: Any, key: str, layer: str, indices: tuple[dict, dict]) -> str:
    """Compares two values.

    Args:
        here: A value of the first description.
        there: The value of the second description.
        key: Key of both values.
        layer: Layer to which they belong.
        indices: Indices of the layers, by name, in each of the models.
    """
    if isinstance(here, dict) and isinstance(there, dict):
        return _compare_dicts(here, there, key, layer, indices)
    if _is_list(here) and _is_list(there):
        if key == "keras_history":  # [layer, node, tensor]
            here, there = (
                [index.get(history[0]), *history[1:]]
                for index, history in zip(indices, (here, there), strict=True)
            )
            return "" if here == there else f"layer {layer!r} has another input"
        differences = (
            _compare(first, second, key, layer, indices)
            for first, second in zip(here, there, strict=False)
        )
        difference = next(filter(None, differences), "")
        if difference or len(here) == len(there):
            return difference
        here, there = f"{len(here)} entries", len(there)
    if here == there:
        return ""
    owner = f"layer {layer!r}" if layer else "the model"
    return f"{key} of {owner} is {here} here, {there} there"


def _compare_dicts(here, there, key, layer, indices):
    if all(_is_list(config.get("layers")) for config in (here, there)):
        indices = _layer_indices(here["layers"]), _layer_indices(there["layers"])
    if "class_name" in here and "config" in here:
        if here["class_name"] != there.get("class_name"):
            key = "class" if key == "layers" else key
            return _compare(
                here["class_name"], there.get("class_name"), key, _name(here) or layer, indices
            )
        if key == "layers":
            layer = _name(here)
            if here["class_name"] in _SIZE_LAYERS:
                here = {**here, "config": {}}
                there = {**there, "config": {}}
    differences = (
        _compare(here.get(name), there.get(name), key if name == "config" else name, layer, indices)
        for name in _compared_keys({**here, **there})
    )
    return next(filter(None, differences), "")


def _compared_keys(keys: Iterable[str]):
    return (
        key
        for key in keys
        if key not in _IGNORED and not key.endswith(_TRAINING_SUFFIXES) and "drop" not in key
    )


def _layer_indices(layers) -> dict[str, int]:
    """Index of each layer by its name, because names differ whenever a model is created anew."""
    return {_name(layer): index for index, layer in enumerate(layers) if isinstance(layer, dict)}


def _name(layer):
    config = layer.get("config")
    return layer.get("name") or (config.get("name", "") if isinstance(config, dict) else "")


def _is_list(value):
    return isinstance(value, list | tuple)
