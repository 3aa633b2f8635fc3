"""Decodes .npy files inside a graph, including hostile ones: images whose values are numbers.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import tensorflow as tf

from dim_tf.data import encoded_images, image_ops
from dim_tf.data.graph_headers import byte_string
from dim_tf.data.image_bounds import MAX_BYTES, MAX_PIXELS
from dim_tf.data.image_frame import ImageFrame

_MAGIC = b"\x93NUMPY\x01\x00"  # of version 1.0, which NumPy writes
_HEADER_OFFSET = len(_MAGIC) + 2  # behind the header's length
_DTYPES = {b"|u1": tf.uint8, b"<u2": tf.uint16, b"<f4": tf.float32}
_HEADER = (
    r"\{'descr': '(\|u1|<u2|<f4)', 'fortran_order': False, "
    r"'shape': \((\d{1,7}), (\d{1,7})(?:, (\d{1,3}))?\), \} *\n"
)


def decode(encoded: tf.Tensor, channels: int, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """The values of a .npy file of uint8, uint16 or float32, [H, W] or [H, W, C].

    Args:
        encoded: string scalar, the file, as written by `numpy.save`.
        channels: C; [H, W] has one channel.
        max_pixels: Files with more pixels are refused.

    Returns:
        float32 [H, W, C].

    Raises:
        tf.errors.InvalidArgumentError: The file is of another kind, broken, too large, or has other
            channels, or a value is not finite.
    """
    start = byte_string.bytes_at(
        byte_string.padded(tf.strings.substr(encoded, 0, _HEADER_OFFSET), _HEADER_OFFSET),
        tf.constant(len(_MAGIC), tf.int64),
        2,
    )
    header_bytes = start[0] + 256 * start[1]
    offset = tf.minimum(_HEADER_OFFSET + header_bytes, byte_string.length(encoded))
    begin = tf.minimum(tf.constant(_HEADER_OFFSET, tf.int64), byte_string.length(encoded))
    header = tf.strings.substr(encoded, begin, offset - begin)
    is_npy = (
        tf.equal(tf.strings.substr(encoded, 0, len(_MAGIC)), _MAGIC)
        & (byte_string.length(encoded) <= MAX_BYTES)
        & tf.strings.regex_full_match(header, _HEADER)
    )
    refused = "an image is not .npy of uint8, uint16 or float32; its bytes:"
    with tf.control_dependencies([_assert(is_npy, [refused, byte_string.length(encoded)])]):
        header = tf.identity(header)
    parts = tf.strings.split(tf.strings.regex_replace(header, _HEADER, r"\1 \2 \3 \4"), " ")
    descr, sides = parts[0], tf.where(parts[1:] == b"", b"1", parts[1:])
    shape = tf.ensure_shape(tf.strings.to_number(sides, tf.int64), [3])
    kind = tf.argmax(tf.stack([tf.equal(descr, name) for name in _DTYPES]), output_type=tf.int32)
    item_bytes = tf.gather(tf.constant([x.size for x in _DTYPES.values()], tf.int64), kind)
    content = tf.strings.substr(encoded, offset, byte_string.length(encoded) - offset)
    checks = [
        _assert(tf.equal(shape[2], channels), ["channels of an image:", shape[2], channels]),
        _assert(
            tf.reduce_all(shape > 0) & (shape[0] * shape[1] <= max_pixels),
            ["an image has height and width", shape[:2], "; pixels allowed:", max_pixels],
        ),
        _assert(
            tf.equal(byte_string.length(content), tf.reduce_prod(shape) * item_bytes),
            ["an image has other values than its header says; bytes:", byte_string.length(content)],
        ),
    ]
    with tf.control_dependencies(checks):
        content = tf.identity(content)
    branches = [
        lambda dtype=dtype: tf.cast(tf.io.decode_raw(content, dtype), tf.float32)
        for dtype in _DTYPES.values()
    ]
    values = tf.switch_case(kind, branches)
    finite = _assert(tf.reduce_all(tf.math.is_finite(values)), ["a value is not finite"])
    with tf.control_dependencies([finite]):
        return tf.ensure_shape(tf.reshape(values, shape), [None, None, channels])


def _assert(condition, message):
    data = [tf.convert_to_tensor(part) for part in message]
    return tf.raw_ops.Assert(condition=condition, data=data, summarize=4)


def decode_to_size(encoded: tf.Tensor, frame: ImageFrame, max_pixels: int = MAX_PIXELS):
    """Decodes a .npy file and fits it into a frame, like arrays in training.

    Args:
        encoded: string scalar, the file.
        frame: What the image becomes.
        max_pixels: As for `decode`.

    Returns:
        float32 [H, W, C] in the frame's size, in the file's values.

    Raises:
        tf.errors.InvalidArgumentError: As for `decode`.
    """
    return image_ops.fit_image(decode(encoded, frame.channels, max_pixels), frame)


def decode_all(encoded: tf.Tensor, frame: ImageFrame, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes several files, string [N], to float32 [N, H, W, C]; if one is refused, all fail."""
    return encoded_images.map_all(
        lambda one: decode_to_size(one, frame, max_pixels), encoded, _spec(frame)
    )


def decode_valid(
    encoded: tf.Tensor, frame: ImageFrame, max_pixels: int = MAX_PIXELS
) -> tuple[tf.Tensor, tf.Tensor]:
    """Like `decode_all`, but a refused file becomes 0, and bool [N] says which are valid."""
    return encoded_images.map_valid(
        lambda one: decode_to_size(one, frame, max_pixels), encoded, _spec(frame)
    )


def _spec(frame):
    return tf.TensorSpec(frame.shape, tf.float32)
