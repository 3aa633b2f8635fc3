"""Weights of a backbone: read from files, and compared with those of another."""

import os
from collections.abc import Sequence

import keras
import numpy as np

from keras_models.encoders import keras_file

VariableShapes = Sequence[tuple[str, tuple[int, ...]]]  # name and shape of each variable


def load_weights(backbone: keras.Model, path: str) -> None:
    """Sets a backbone's weights from a file.

    Args:
        backbone: A built model.
        path: A .keras file, or a file .weights.h5 or .h5 as Keras writes it.

    Raises:
        ValueError: The file does not exist, cannot be read, or belongs to another backbone.
    """
    if not os.path.isfile(path):  # Path.is_file raises OSError for a name that is too long
        raise ValueError(f"there is no file of weights {path!r}")
    if not path.endswith((".keras", ".h5")):
        raise ValueError(f"{path!r} is no file of weights; expected .weights.h5, .h5 or .keras")
    if path.endswith(".keras"):
        model = keras_file.load_or_value_error(path)
        difference = first_difference(_shapes(backbone.variables), _shapes(model.variables))
        if difference:
            raise ValueError(f"{path} is of another backbone than {backbone.name}: {difference}")
        check_finite(path, model)
        backbone.set_weights(model.get_weights())
        return
    # Keras skips weights that the file lacks, with a warning at most: NaN then remains.
    backbone.set_weights([_nan_like(v) for v in backbone.weights])
    try:
        backbone.load_weights(path)
        missing = [v.path for v in backbone.weights if not _is_finite(v)]
        if missing:
            raise ValueError(f"it has no finite weights for {missing[0]}")
    except Exception as error:  # Keras and h5py raise errors of every type
        raise ValueError(
            f"{path} holds no weights of this {backbone.name} ({keras_file.first_line(error)})"
        ) from error


def check_finite(name: str, model: keras.Model) -> None:
    """Raises ValueError if a model, called `name` in the message, has NaN or infinite weights."""
    infinite = [v.path for v in model.weights if not _is_finite(v)]
    if infinite:
        raise ValueError(
            f"{name} has weights that are NaN or infinite, first in {infinite[0]}; give a model "
            "whose training went well"
        )


def look_trained(model: keras.Model) -> bool:
    """Whether a model's weights look trained; also True if nothing tells.

    Biases, and the scales, offsets and statistics of norms start as 0 or 1; training changes them.

    Args:
        model: Built.
    """
    vectors = [_values(v) for v in model.weights if len(v.shape) == 1]
    vectors = [values for values in vectors if np.issubdtype(values.dtype, np.floating)]
    return not vectors or any(np.ptp(values) > 0 for values in vectors if values.size)


def first_difference(here: VariableShapes, there: VariableShapes) -> str:
    """The first difference in shape between two lists of variables, in order; empty: none.

    Args:
        here: The variables to be set.
        there: The variables they are to be set from.
    """
    for number, ((name, shape), (other_name, other_shape)) in enumerate(
        zip(here, there, strict=False), 1
    ):
        if shape != other_shape:
            return (
                f"variable {number} is {name} of shape {list(shape)} here, {other_name} of shape "
                f"{list(other_shape)} there"
            )
    if len(here) != len(there):
        longer, where = (here, "here") if len(here) > len(there) else (there, "there")
        name = longer[min(len(here), len(there))][0]
        return f"{len(here)} variables here, {len(there)} there, {name} only {where}"
    return ""


def _is_finite(variable) -> bool:
    return bool(np.isfinite(_values(variable)).all())


def _values(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)


def _nan_like(variable) -> np.ndarray:
    """NaN in the variable's shape; for an integer variable, its values."""
    values = _values(variable)
    return np.full_like(values, np.nan) if np.issubdtype(values.dtype, np.floating) else values


def _shapes(variables) -> VariableShapes:
    return [(v.path, tuple(v.shape)) for v in variables]
