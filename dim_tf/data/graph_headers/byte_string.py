"""Numbers inside a byte string, in a graph: a few bytes are copied, never the whole string."""

import tensorflow as tf


def length(data: tf.Tensor) -> tf.Tensor:
    """The length of a string scalar in bytes; int64 scalar."""
    return tf.cast(tf.strings.length(data), tf.int64)


def big_endian(data: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Strings of equal length as numbers.

    Args:
        data: string [...].
        dtype: Type of a number, such as tf.uint16.

    Returns:
        int64 [..., n].
    """
    return tf.cast(tf.io.decode_raw(data, dtype, little_endian=False), tf.int64)


def bytes_at(data: tf.Tensor, offset: tf.Tensor, count: int) -> tf.Tensor:
    """Bytes starting at an offset.

    Args:
        data: string scalar that is long enough, such as from `padded`.
        offset: int64 scalar, not negative.
        count: Number of bytes.

    Returns:
        int64 [count], 0 to 255.
    """
    piece = tf.strings.substr(data, offset, tf.constant(count, tf.int64))
    return tf.ensure_shape(big_endian(piece, tf.uint8), [count])


def padded(data: tf.Tensor, count: int) -> tf.Tensor:
    """A string scalar with `count` zero bytes appended."""
    return tf.strings.join([data, b"\0" * count])


def substrings(data: tf.Tensor, offsets: tf.Tensor, count: int) -> tf.Tensor:
    """Substrings of equal size; those that reach beyond the end are shorter.

    Args:
        data: string scalar.
        offsets: int64 [N], not negative.
        count: Bytes in each.

    Returns:
        string [N].
    """
    offsets = tf.minimum(offsets, length(data))
    return tf.strings.substr(
        data, offsets, tf.fill(tf.shape(offsets), tf.constant(count, tf.int64))
    )
