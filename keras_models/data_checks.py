"""Checks of the data of `fit` and `evaluate` before the first step, where errors are readable."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import tensorflow as tf

from keras_models import compiling
from keras_models.batch import TOO_FEW, Batch, as_float32
from keras_models.critics.pairs import TOO_FEW_NEGATIVES

if TYPE_CHECKING:
    from keras_models.objective_model import ObjectiveModel

RANGE_TOLERANCE = 1.01  # bound of |pixel|: 1, with room for rounding in bfloat16
KERAS_BATCH_SIZE = 32  # default batch_size of Keras' fit and evaluate


def check_fit(model: "ObjectiveModel", arguments: dict[str, Any]) -> None:
    """Checks the data in the arguments of `fit`; replaces iterators, so that no batch is lost.

    Args:
        model: The model.
        arguments: Arguments of `keras.Model.fit` by name.

    Raises:
        ValueError: Images are not in [-1, 1] or do not fit the model; batches have too few images;
            validation examples have weights; or a model without evaluation is to be validated.
    """
    x, validation = arguments.get("x"), arguments.get("validation_data")
    split = arguments.get("validation_split") or 0.0
    batch_size = arguments.get("batch_size") or KERAS_BATCH_SIZE
    validation_batch_size = arguments.get("validation_batch_size") or batch_size
    if split or validation is not None:
        check_evaluates(model, "validation")
    replica_count = model.distribute_strategy.num_replicas_in_sync
    if _is_in_memory(x):
        trained = int(len(x) * (1 - split)) if validation is None else len(x)
        if not arguments.get("steps_per_epoch"):
            check_sizes(trained, batch_size, replica_count * model.micro_batches)
        if trained < len(x):
            check_sizes(len(x) - trained, validation_batch_size, replica_count)
    arguments["x"] = check_data(model, x, batch_size, arguments.get("y"))
    if isinstance(validation, tuple | list):
        images, labels, sample_weight = [*validation, None, None][:3]
        compiling.check_weights(type(model).__name__, sample_weight=sample_weight)
        if _is_in_memory(images):
            check_sizes(len(images), validation_batch_size, replica_count)
        check_data(model, images, validation_batch_size, labels)
    elif validation is not None:
        arguments["validation_data"] = check_data(model, validation, validation_batch_size)


def check_evaluate(model: "ObjectiveModel", arguments: dict[str, Any]) -> None:
    """Checks the data in the arguments of `evaluate`, like `check_fit`.

    Args:
        model: The model.
        arguments: Arguments of `keras.Model.evaluate` by name.

    Raises:
        ValueError: As for `check_fit`.
    """
    x, batch_size = arguments.get("x"), arguments.get("batch_size") or KERAS_BATCH_SIZE
    if _is_in_memory(x) and not arguments.get("steps"):
        check_sizes(len(x), batch_size, model.distribute_strategy.num_replicas_in_sync)
    arguments["x"] = check_data(model, x, batch_size, arguments.get("y"))


def check_evaluates(model: "ObjectiveModel", purpose: str) -> None:
    """Raises ValueError if the model's objective is defined only on its training images."""
    if not model.evaluates:
        raise ValueError(
            f"{purpose}: the objective of {type(model).__name__} is about its training images "
            "alone; measure what predict() gives instead"
        )


def check_fields(model: "ObjectiveModel", batch: Batch) -> None:
    """Raises ValueError if the batch lacks labels or indices that the model needs."""
    for name in ("labels", "indices"):
        if getattr(model, f"needs_{name}") and getattr(batch, name) is None:
            raise ValueError(
                f"{type(model).__name__} is trained on images with their {name}, and the batch "
                f"has none; give Batch(images, {name}={name})"
            )


def check_data(model: "ObjectiveModel", x: Any, batch_size: int, labels: Any = None) -> Any:
    """Checks the first batch of data and returns the data, with nothing missing.

    Args:
        model: The model.
        x: The `x` of Keras' `fit`.
        batch_size: Images per batch, if `x` is not batched.
        labels: The `y` of Keras' `fit`.
    """
    first, x = first_batch(x, batch_size)
    if first is not None:
        check_first(model, first, labels)
    return x


def check_first(model: "ObjectiveModel", data: Any, labels: Any = None) -> None:
    """Raises ValueError if the model cannot be trained on a batch of `first_batch`."""
    for batch in check_images(data, model.image_shape):
        check_fields(model, batch if labels is None else batch._replace(labels=labels))


def check_images(data: Any, image_shape: tuple[int, int, int]) -> list[Batch]:
    """The batches of all local replicas, from a batch of `first_batch`.

    Raises:
        ValueError: The images are not floating-point, not in [-1, 1] or not of that shape.
    """
    batches = [Batch.from_data(part) for part in _split_by_replica(data)]
    for batch in batches:
        images = as_float32(_as_array(batch.images), image_shape)
        if images.shape[0]:
            check_range(images.numpy())
    return batches


def check_range(images: Any) -> None:
    """Raises ValueError if images [N, H, W, C] are not in [-1, 1]; reads all values."""
    low, high = (float(bound(images)) for bound in (np.min, np.max))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the images hold NaN or infinite numbers; expected [-1, 1]")
    if low < -RANGE_TOLERANCE or high > RANGE_TOLERANCE:
        bytes_ = low >= 0 and high <= 255
        remedy = ": give images / 127.5 - 1" if bytes_ else ""
        raise ValueError(f"the images reach from {low:g} to {high:g}; expected [-1, 1]{remedy}")


def check_sizes(images: int, batch_size: int, parts: int) -> None:
    """Raises ValueError if images in memory leave a batch that is too small to train on.

    Args:
        images: Number of images.
        batch_size: Images per step, except the last step.
        parts: Replicas times micro-batches, which share a batch.
    """
    last = images % batch_size
    for size in (min(images, batch_size), last):
        if size and (size % parts or size < 2 * parts):
            raise ValueError(
                f"{images} images in batches of {batch_size} make one of {size}, but {TOO_FEW}"
            )


def first_batch(data: Any, batch_size: int) -> tuple[Any, Any]:
    """The first batch of data, and the data with nothing missing.

    Args:
        data: The `x` of Keras' `fit`.
        batch_size: Images per batch, if `data` is not batched.

    Returns:
        The batch, or None if it cannot be read because it is on other workers; and data like
        `data`.
    """
    if isinstance(data, Batch | tuple | list):
        parts = [None if part is None else part[:batch_size] for part in data]
        return (Batch(*parts) if isinstance(data, Batch) else tuple(parts)), data
    if isinstance(data, tf.data.Dataset | tf.distribute.DistributedDataset):
        first = next(iter(data), None)
        return first, data
    if isinstance(data, Iterator):
        first = next(data, None)
        whole = itertools.chain([] if first is None else [first], data)
        return first, (batch for batch in whole)  # Keras accepts generators, not all iterators
    if hasattr(data, "shape"):
        return data[:batch_size], data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # PyDataset
        return data[0], data
    return None, data


@contextlib.contextmanager
def too_few_images_as_value_error():
    """Raises ValueError, on one line, if an assertion in the graph says that images are missing."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        for message in (TOO_FEW, TOO_FEW_NEGATIVES):
            if message in error.message:
                raise ValueError(message) from None
        raise


def _split_by_replica(batch):
    """The batches of all local replicas: one, or the parts of a distributed batch."""
    leaves = tf.nest.flatten(batch)
    if not any(isinstance(x, tf.distribute.DistributedValues) for x in leaves):
        return [batch]
    local = [getattr(x, "values", None) for x in leaves]
    return [tf.nest.pack_sequence_as(batch, parts) for parts in zip(*local, strict=True)]


def _as_array(images):
    return images if hasattr(images, "dtype") else np.asarray(images)


def _is_in_memory(x: Any) -> TypeGuard[np.ndarray]:
    return isinstance(x, np.ndarray | tf.Tensor)
