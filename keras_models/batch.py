"""The input of a training or evaluation step, and the checks that a step can make on it."""

from typing import Any, NamedTuple

import tensorflow as tf

from keras_models.distribute import replicas

TOO_FEW = (
    "a batch does not give each replica and each micro-batch the same number of images, at least "
    "2: batch norm, and an objective against other images, need two. Give another batch_size, or "
    "leave the last batch of an epoch out (tf.data: drop_remainder=True)"
)


class Batch(NamedTuple):
    """The input of a training step; on replicas, this replica's part of it.

    Attributes:
        images: float32 [N, H, W, C] in [-1, 1].
        labels: int64 [N], or [N, A] for attributes; None if the objective needs none.
        indices: int64 [N], each image's index among the training images; None if not needed.
    """

    images: tf.Tensor
    labels: tf.Tensor | None = None
    indices: tf.Tensor | None = None

    @classmethod
    def from_data(cls, data: Any) -> "Batch":
        """The batch in what Keras passes to a step: images, or a tuple of a batch's first fields.

        Raises:
            ValueError: `data` is neither.
        """
        if isinstance(data, tuple | list) and len(data) == 1:
            return cls.from_data(data[0])
        if isinstance(data, dict) or (isinstance(data, tuple | list) and not 1 <= len(data) <= 3):
            raise ValueError(
                f"a batch is a {type(data).__name__} of {len(data)}; expected images, "
                "(images, labels), or a Batch of images, labels and indices"
            )
        return cls(*data) if isinstance(data, tuple | list) else cls(data)


def as_float32(images: Any, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """Casts images to float32.

    Raises:
        ValueError: The images are not floating-point, or their shape is not [N, *image_shape].
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


def assert_enough_images(batch: Batch, parts: int, compiled: bool) -> Batch:
    """The batch, with an assertion that each replica and micro-batch gets enough images.

    Args:
        batch: The batch of this replica.
        parts: Number of micro-batches.
        compiled: Whether XLA compiles the step, which drops assertions.

    Raises:
        ValueError: The number of images is known and wrong.
    """
    count = batch.images.shape[0]
    if count is not None:
        if count % parts or count < 2 * parts:
            raise ValueError(f"of {count} images: {TOO_FEW}")
        return batch
    if compiled:
        return batch
    size = tf.shape(batch.images)[0]
    enough = tf.logical_and(size >= 2 * parts, size % parts == 0)
    if replicas.count() > 1:
        number = tf.cast(size, tf.float32)
        enough = tf.logical_and(enough, tf.equal(replicas.mean(number), number))
    with tf.control_dependencies([tf.debugging.Assert(enough, [TOO_FEW])]):
        return batch._replace(images=tf.identity(batch.images))


def _shape_text(shape) -> str:
    return "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"
