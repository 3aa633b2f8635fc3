"""Numbers inside a byte string, in a graph: a few bytes are copied and never the whole."""

import tensorflow as tf


def length(data: tf.Tensor) -> tf.Tensor:
    """The bytes of a string scalar; int64 scalar."""
    return tf.cast(tf.strings.length(data), tf.int64)


def big_endian(data: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Strings of one length as numbers.

    Args:
        data: string [...].
        dtype: of a number, such as tf.uint16.

    Returns:
        int64 [..., n].
    """
    return tf.cast(tf.io.decode_raw(data, dtype, little_endian=False), tf.int64)


def bytes_at(data: tf.Tensor, place: tf.Tensor, count: int) -> tf.Tensor:
    """Bytes from a place on.

    Args:
        data: string scalar that does not end before; `padded` sees to it.
        place: int64 scalar, not negative.
        count: how many.

    Returns:
        int64 [count], 0 to 255.
    """
    piece = tf.strings.substr(data, place, tf.constant(count, tf.int64))
    return tf.ensure_shape(big_endian(piece, tf.uint8), [count])


def padded(data: tf.Tensor, count: int) -> tf.Tensor:
    """A string scalar, and so many zeros behind it."""
    return tf.strings.join([data, b"\0" * count])


def pieces(data: tf.Tensor, places: tf.Tensor, count: int) -> tf.Tensor:
    """Parts of one size of a string; those that reach over its end are shorter.

    Args:
        data: string scalar.
        places: int64 [N], not negative.
        count: bytes of each.

    Returns:
        string [N].
    """
    places = tf.minimum(places, length(data))
    return tf.strings.substr(data, places, tf.fill(tf.shape(places), tf.constant(count, tf.int64)))
