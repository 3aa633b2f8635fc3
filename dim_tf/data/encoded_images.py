"""Decodes encoded images inside a graph, also those that nobody has looked at.

An image from outside may be cut off, may not be an image, or may claim billions of pixels. Its
header is read before its pixels: what is not JPEG or PNG, or is too large, is refused before memory
is taken for it.
"""

import tensorflow as tf

from dim_tf.data import image_ops

# 100 MB as bytes of three channels, of which a decoder and the resize hold about four copies.
MAX_PIXELS = 2**25
# Of a file: as many pixels of 16 bits and four channels, not compressed.
MAX_BYTES = 2**28
# Of a progressive JPEG. Each scan touches all pixels; real files have up to about 15.
MAX_SCANS = 64
# Segments of a JPEG that are searched for EXIF, which stands first or after JFIF's.
_SEARCHED_SEGMENTS = 8
_ORIENTATION = 0x0112


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file, string scalar, begins as a JPEG does; bool scalar."""
    return tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")


def is_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file, string scalar, begins as a PNG does; bool scalar."""
    return tf.equal(tf.strings.substr(encoded, 0, 16), b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")


def decode(encoded: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """An encoded image's pixels, upright.

    JPEG (grayscale, RGB, CMYK; turned as its EXIF orientation says) and PNG (any bit depth and
    colour type; alpha is dropped, of 16 bits the upper 8 are kept).

    Args:
        encoded: string scalar, the file.
        max_pixels: more are refused.

    Returns:
        uint8 [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: not JPEG or PNG, broken, cut off, or too large.
    """
    known = tf.debugging.Assert(
        is_jpeg(encoded) | is_png(encoded),
        ["an image is not JPEG or PNG; its bytes:", tf.strings.length(encoded)],
    )
    with tf.control_dependencies([known]):
        encoded = tf.identity(encoded)
    size, scans, orientation = tf.cond(
        is_jpeg(encoded), lambda: _jpeg_header(encoded), lambda: _png_header(encoded)
    )
    checks = [
        tf.debugging.Assert(
            tf.reduce_all(size > 0) & (size[0] * size[1] <= max_pixels),
            ["an image has height and width", size, "; pixels allowed:", max_pixels],
        ),
        tf.debugging.Assert(
            scans <= MAX_SCANS, ["a JPEG has", scans, "scans; allowed:", MAX_SCANS]
        ),
    ]
    with tf.control_dependencies(checks):
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return _upright(tf.ensure_shape(image, [None, None, 3]), orientation)


def decode_to_size(encoded: tf.Tensor, size: int, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes an image and fits it to size x size, as images of training are.

    Args:
        encoded: string scalar.
        size: pixels a side.
        max_pixels: more are refused.

    Returns:
        uint8 [size, size, 3].

    Raises:
        tf.errors.InvalidArgumentError: as `decode`.
    """
    return image_ops.to_bytes(image_ops.fit(decode(encoded, max_pixels), size))


def decode_all(encoded: tf.Tensor, size: int, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes and fits several images; one that is refused fails them all.

    Args:
        encoded: string [N].
        size: pixels a side.
        max_pixels: more in one image are refused.

    Returns:
        uint8 [N, size, size, 3].

    Raises:
        tf.errors.InvalidArgumentError: as `decode`.
    """
    return tf.map_fn(
        lambda one: decode_to_size(one, size, max_pixels),
        encoded,
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
        parallel_iterations=2,  # each may hold four copies of a large image
    )


def decode_valid(
    encoded: tf.Tensor, size: int, max_pixels: int = MAX_PIXELS
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes and fits several images; one that is refused becomes black.

    A graph has no exceptions to catch, but a tf.data pipeline inside it can leave out the elements
    that fail.

    Args:
        encoded: string [N].
        size: pixels a side.
        max_pixels: more in one image are refused.

    Returns:
        uint8 [N, size, size, 3], and bool [N]: whether the image could be decoded.
    """
    count = tf.size(encoded)

    def numbered(number, one):
        return number, decode_to_size(one, size, max_pixels)

    images = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    images = images.map(numbered, num_parallel_calls=2)
    images = images.ignore_errors(log_warning=False)
    # One more, number N, so that there is something to batch where all were refused.
    last = tf.data.Dataset.from_tensors((count, tf.zeros([size, size, 3], tf.uint8)))
    images = images.concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    numbers, pixels = images.get_single_element()
    places = numbers[:, tf.newaxis]
    found = tf.scatter_nd(places, pixels, [count + 1, size, size, 3])[:count]
    valid = tf.scatter_nd(places, tf.ones_like(numbers), [count + 1])[:count] > 0
    return found, valid


def _png_header(encoded):
    """Height and width, int64 [2]; scans, 0; orientation, 1."""
    # Zeros, which are refused, where the file ends before.
    octets = _at(tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.uint8), 0, 8)
    numbers = tf.cast(tf.reshape(octets, [2, 4]), tf.int64)
    size = tf.reduce_sum(numbers * [2**24, 2**16, 2**8, 1], axis=1)[::-1]
    # PNG allows 31 bits; beyond, a product of both could overflow.
    return tf.where(size < 2**31, size, 2**31), tf.constant(0, tf.int64), tf.constant(1, tf.int64)


def _jpeg_header(encoded):
    """Height and width, int64 [2]; number of scans; EXIF orientation, 1 to 8."""
    size = tf.cast(tf.image.extract_jpeg_shape(encoded)[:2], tf.int64)
    octets = tf.io.decode_raw(encoded, tf.uint8)
    # Inside the pixels' code 0xFF is never followed by 0xDA, "start of scan".
    starts = tf.equal(octets[:-1], 0xFF) & tf.equal(octets[1:], 0xDA)
    return size, tf.math.count_nonzero(starts), _exif_orientation(octets)


def _exif_orientation(octets):
    """The orientation in a JPEG's EXIF segment; 1 where it has none (Exif 2.3, 4.6.4)."""
    length = tf.size(octets, out_type=tf.int64)

    def big_endian_16(place):
        pair = tf.cast(_at(octets, place, 2), tf.int64)
        return pair[0] * 256 + pair[1]

    def searching(place, tried, found):
        return (
            (found == 0)
            & (tried < _SEARCHED_SEGMENTS)
            & (place + 4 <= length)
            & (_at(octets, place, 1)[0] == 0xFF)
            # Application segments and comments alone can stand before EXIF.
            & (_at(octets, place + 1, 1)[0] >= 0xE0)
        )

    def next_segment(place, tried, found):
        end = place + 2 + big_endian_16(place + 2)
        marker, name = _at(octets, place + 1, 1)[0], _at(octets, place + 4, 6)
        is_exif = (marker == 0xE1) & tf.reduce_all(name == tf.constant(list(b"Exif\0\0"), tf.uint8))
        found = tf.cond(
            is_exif,
            lambda: _tiff_orientation(octets[place + 10 : tf.minimum(end, length)]),
            lambda: found,
        )
        return end, tried + 1, found

    zero = tf.constant(0, tf.int64)
    first = tf.constant(2, tf.int64)
    _, _, found = tf.while_loop(searching, next_segment, [first, zero, zero])
    return tf.maximum(found, 1)


def _tiff_orientation(tiff):
    """The orientation in the first directory of a TIFF structure; 1 where it has none."""
    little = _at(tiff, 0, 1)[0] == ord("I")

    def number(place, size):
        digits = tf.cast(_at(tiff, place, size), tf.int64)
        digits = tf.where(little, digits[::-1], digits)
        return tf.reduce_sum(digits * [256 ** (size - 1 - i) for i in range(size)])

    directory = number(4, 4)
    room = tf.maximum((tf.size(tiff, out_type=tf.int64) - directory - 2) // 12, 0)
    count = tf.minimum(number(directory, 2), room)
    begin = tf.minimum(directory + 2, tf.size(tiff, out_type=tf.int64))
    entries = tf.cast(tf.reshape(tiff[begin : begin + 12 * count], [-1, 12]), tf.int64)

    def column(first):
        low, high = entries[:, first], entries[:, first + 1]
        return tf.where(little, low + 256 * high, 256 * low + high)

    # Tag, type 3 (16 bits), one value.
    values = tf.boolean_mask(column(8), (column(0) == _ORIENTATION) & (column(2) == 3))
    value = tf.concat([values, [1]], axis=0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _at(octets, place, size):
    """`size` octets from `place` on; zeros where there are none."""
    length = tf.size(octets, out_type=tf.int64)
    places = tf.cast(place, tf.int64) + tf.range(size, dtype=tf.int64)
    inside = (places >= 0) & (places < length)
    padded = tf.concat([octets, tf.zeros([1], tf.uint8)], axis=0)
    return tf.gather(padded, tf.where(inside, places, length))


def _upright(image, orientation):
    """Turns an image [H, W, C] as EXIF's orientation says (Exif 2.3, 4.6.4 A)."""

    def is_one_of(*values):
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    image = tf.cond(is_one_of(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(is_one_of(2, 3, 6, 7), lambda: image[:, ::-1], lambda: image)
    return tf.cond(is_one_of(3, 4, 7, 8), lambda: image[::-1], lambda: image)
