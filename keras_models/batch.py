"""What a step of training or evaluation is given, and the checks of it."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_models.distribute import replicas

EDGE = 1.01  # of [-1, 1], with room for rounding in bfloat16
TOO_FEW = (
    "a batch does not give each replica and each micro-batch the same number of images, at least "
    "2: batch norm, and an objective against other images, need two. Give another batch_size, or "
    "leave the last batch of an epoch out (tf.data: drop_remainder=True)"
)


class Batch(NamedTuple):
    """What a training step is given; on replicas, this one's part of it.

    Attributes:
        images: float32 [N, H, W, C] in [-1, 1].
        labels: int64 [N], or [N, A] of attributes; None where nobody asked for them.
        rows: int64 [N], each image's row among the training images; None likewise.
    """

    images: tf.Tensor
    labels: tf.Tensor | None = None
    rows: tf.Tensor | None = None

    @classmethod
    def of(cls, data: Any) -> "Batch":
        """From what Keras hands to a step: images, or a tuple of a batch's first parts.

        Raises:
            ValueError: it is something else.
        """
        if isinstance(data, tuple | list) and len(data) == 1:
            return cls.of(data[0])
        if isinstance(data, dict) or (isinstance(data, tuple | list) and not 1 <= len(data) <= 3):
            raise ValueError(
                f"a batch is a {type(data).__name__} of {len(data)}; expected images, "
                "(images, labels), or a Batch of images, labels and rows"
            )
        return cls(*data) if isinstance(data, tuple | list) else cls(data)


def as_float32(images: Any, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The images, of the dtype that is trained on.

    Raises:
        ValueError: they are no floating-point images of that shape.
    """
    dtype = tf.as_dtype(images.dtype)
    if not dtype.is_floating:
        raise ValueError(
            f"the images are {dtype.name}; expected float32 in [-1, 1]: of bytes, "
            "tf.cast(images, tf.float32) / 127.5 - 1"
        )
    if len(images.shape) != 4 or tuple(images.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"the images have shape {_shape_text(images.shape)}; expected "
            f"{_shape_text((None, *image_shape))}, as the model was made for"
        )
    return tf.cast(images, tf.float32)


def check_range(images: Any) -> None:
    """Raises ValueError where images [N, H, W, C] are not in [-1, 1]; looks at the values."""
    low, high = (float(bound(images)) for bound in (np.min, np.max))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the images hold NaN or infinite numbers; expected [-1, 1]")
    if low < -EDGE or high > EDGE:
        bytes_ = low >= 0 and high <= 255
        remedy = ": give images / 127.5 - 1" if bytes_ else ""
        raise ValueError(f"the images reach from {low:g} to {high:g}; expected [-1, 1]{remedy}")


def first_batch(data: Any, batch_size: int) -> tuple[Any, Any]:
    """What the first step will see, and the data with nothing missing.

    Args:
        data: the `x` of Keras' `fit`.
        batch_size: of data that have no batches.

    Returns:
        The batch, or None where it cannot be looked at (on other workers), and data like `data`.
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
        return first, (batch for batch in whole)  # Keras knows generators only
    if hasattr(data, "shape"):
        return data[:batch_size], data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # PyDataset
        return data[0], data
    return None, data


def checked(data: Any, image_shape: tuple[int, int, int]) -> list[Batch]:
    """The batches of all replicas here, from a batch of `first_batch`.

    Raises:
        ValueError: the images are not what is expected.
    """
    batches = [Batch.of(part) for part in _of_replicas(data)]
    for batch in batches:
        images = as_float32(_array(batch.images), image_shape)
        if images.shape[0]:
            check_range(images.numpy())
    return batches


def _of_replicas(batch):
    """The batch of each replica here: one, or the parts of a distributed one."""
    leaves = tf.nest.flatten(batch)
    local = [getattr(x, "values", None) for x in leaves]
    if not any(isinstance(x, tf.distribute.DistributedValues) for x in leaves):
        return [batch]
    return [tf.nest.pack_sequence_as(batch, parts) for parts in zip(*local, strict=True)]


def _array(images):
    return images if hasattr(images, "dtype") else np.asarray(images)


def check_sizes(images: int, batch_size: int, parts: int) -> None:
    """Raises ValueError where images in memory leave a batch that cannot be trained on.

    Args:
        images: how many there are.
        batch_size: of each step but the last.
        parts: replicas times micro-batches, among which a batch is shared out.
    """
    last = images % batch_size
    for size in (min(images, batch_size), last):
        if size and (size % parts or size < 2 * parts):
            raise ValueError(
                f"{images} images in batches of {batch_size} make one of {size}, but {TOO_FEW}"
            )


def with_enough_images(batch: Batch, parts: int, compiled: bool) -> Batch:
    """The batch; a step on it fails where replicas or micro-batches do not get enough images.

    Args:
        batch: of this replica.
        parts: micro-batches.
        compiled: whether XLA compiles the step, which then cannot fail by this.

    Raises:
        ValueError: the number of images is known already.
    """
    count = batch.images.shape[0]
    if count is not None:
        if count % parts or count < 2 * parts:
            raise ValueError(f"of {count} images: {TOO_FEW}")
        return batch
    if compiled:
        return batch
    here = tf.shape(batch.images)[0]
    enough = tf.logical_and(here >= 2 * parts, here % parts == 0)
    if replicas.count() > 1:
        number = tf.cast(here, tf.float32)
        enough = tf.logical_and(enough, tf.equal(replicas.mean(number), number))
    with tf.control_dependencies([tf.debugging.Assert(enough, [TOO_FEW])]):
        return batch._replace(images=tf.identity(batch.images))


def _shape_text(shape) -> str:
    return "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"
