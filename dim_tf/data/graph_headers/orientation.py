"""The orientation of an encoded image, from EXIF or XMP, and images turned upright by it.

This is the rule of `image_headers.orientation.orientation_of`, in graphs; a test compares both
(tests/dim_tf/data/test_orientation.py).
"""

import tensorflow as tf

from dim_tf.data.graph_headers import byte_string

_TAG = 0x0112
# Bytes of a TIFF structure and of an XMP packet; the rest is ignored.
MAX_TIFF_BYTES = 2**16
MAX_XMP_BYTES = 2**20


def exif_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation in the first directory of a TIFF structure, which EXIF is (Exif 2.3, 4.6.4).

    Args:
        encoded: string scalar.

    Returns:
        int64 scalar, 1 to 8; 0 if it has none.
    """
    data = tf.io.decode_raw(encoded, tf.uint8)
    length, padded = byte_string.length(encoded), byte_string.padded(encoded, 8)
    order = byte_string.bytes_at(padded, tf.constant(0, tf.int64), 2)
    little = order[0] == ord("I")

    def number(offset, size):
        digits = byte_string.bytes_at(padded, tf.minimum(offset, length), size)
        digits = tf.where(little, digits[::-1], digits)
        return tf.reduce_sum(digits * [256 ** (size - 1 - i) for i in range(size)])

    directory = number(tf.constant(4, tf.int64), 4)
    room = tf.maximum((length - directory - 2) // 12, 0)
    count = tf.minimum(number(directory, 2), room)
    begin = tf.minimum(directory + 2, length)
    entries = tf.cast(tf.reshape(data[begin : begin + 12 * count], [-1, 12]), tf.int64)

    def column(first):
        low, high = entries[:, first], entries[:, first + 1]
        return tf.where(little, low + 256 * high, 256 * low + high)

    # Tag, type 3 (16 bits), one value.
    values = tf.boolean_mask(column(8), (column(0) == _TAG) & (column(2) == 3))
    value = _valid(tf.concat([values, [0]], axis=0)[0])
    is_tiff = (order[0] == order[1]) & (little | (order[0] == ord("M")))
    return tf.where(is_tiff, value, 0)


def xmp_orientation(packet: tf.Tensor) -> tf.Tensor:
    """The first tiff:Orientation in an XMP packet, as attribute or element (XMP 2, 3.2).

    Args:
        packet: string scalar.

    Returns:
        int64 scalar, 1 to 8; 0 if it has none.
    """
    rests = tf.strings.split(packet, "tiff:Orientation")[1:]
    begins = tf.strings.substr(tf.strings.join([rests, "    "]), 0, 4)
    is_value = tf.strings.regex_full_match(begins, r"""=["'][0-9]["'<]|>[0-9]["'<]\C""")
    values = tf.boolean_mask(begins, is_value)
    first = tf.io.decode_raw(tf.concat([values, ['="0"']], axis=0)[0], tf.uint8)
    digit = tf.where(first[0] == ord("="), first[2], first[1])
    return _valid(tf.cast(digit, tf.int64) - ord("0"))


def choose(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """EXIF's orientation if it has one, else XMP's, else 1 (upright).

    Args:
        exif: int64 scalar, 0 if there is none.
        xmp: int64 scalar, 0 if there is none.

    Returns:
        int64 scalar, 1 to 8.
    """
    return tf.maximum(tf.where(exif > 0, exif, xmp), 1)


def apply_orientation(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image upright (Exif 2.3, 4.6.4 A).

    Args:
        image: [H, W, C].
        orientation: int64 scalar, 1 to 8.

    Returns:
        [H, W, C], or [W, H, C].
    """

    def is_one_of(*values):
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    def turned():
        x = tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        x = tf.cond(is_one_of(2, 3, 6, 7), lambda: x[:, ::-1], lambda: x)
        return tf.cond(is_one_of(3, 4, 7, 8), lambda: x[::-1], lambda: x)

    return tf.cond(orientation > 1, turned, lambda: image)


def _valid(value):
    return tf.where((value >= 1) & (value <= 8), value, 0)
