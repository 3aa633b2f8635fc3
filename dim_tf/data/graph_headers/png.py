"""A PNG's chunks, walked in a graph before a decoder sees the file.

libpng unpacks compressed texts and color profiles of any number and size, and inflates pixels
beyond those of the header. A decoder gets only the critical chunks, those that the image needs.
https://www.w3.org/TR/png-3/#5Chunk-layout
"""

from typing import NamedTuple

import tensorflow as tf

from dim_tf.data.graph_headers import byte_string, orientation

# Steps of one walk; a step takes up to `_RUN` chunks of one kind and size, as encoders write
# pixels.
MAX_STEPS = 4096
_RUN = 64
# Names of chunks as numbers. A name that starts with a capital is needed for the image.
_IDAT, _IEND, _EXIF, _TEXT = (int.from_bytes(n) for n in (b"IDAT", b"IEND", b"eXIf", b"iTXt"))
_LOWER = int.from_bytes(b"a\0\0\0")
_END = b"\0\0\0\0IEND\xaeB`\x82"
_FIRST = 33  # bytes up to the end of the first chunk, IHDR
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp\0\0"  # the keyword, and that the text is not compressed
# Channels of color types 0 to 6; a decoder refuses 1 and 5, which do not exist.
_CHANNELS = (1, 4, 3, 1, 2, 4, 4)


class PngHeader(NamedTuple):
    """A PNG's header, read before its pixels are decoded.

    Attributes:
        size: Height and width, int64 [2].
        depth: Bits per channel, int64 scalar.
        raw_bytes: Bytes of the pixels, inflated and filtered, int64 scalar.
        pixel_bytes: Bytes of the compressed pixels with the frames of their chunks, int64 scalar.
        is_walked: Whether all chunks were seen, bool scalar.
        orientation: 1 to 8, int64 scalar.
        content: The file without all chunks that do not make its image, string scalar.
    """

    size: tf.Tensor
    depth: tf.Tensor
    raw_bytes: tf.Tensor
    pixel_bytes: tf.Tensor
    is_walked: tf.Tensor
    orientation: tf.Tensor
    content: tf.Tensor


def is_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file, string scalar, starts like a PNG; bool scalar."""
    return tf.equal(tf.strings.substr(encoded, 0, 16), _SIGNATURE + b"\x00\x00\x00\rIHDR")


def read(encoded: tf.Tensor) -> PngHeader:
    """Reads the header and walks the chunks after it, up to IEND or the end of the file.

    Args:
        encoded: string scalar for which `is_png` is true.
    """
    starts, sizes, is_walked = _runs(encoded)
    names = byte_string.big_endian(byte_string.substrings(encoded, starts + 4, 4), tf.int32)[:, 0]
    is_pixels = names == _IDAT
    kept = tf.where((names < _LOWER) & (names != _IEND))[:, 0]
    slices = tf.strings.substr(encoded, tf.gather(starts, kept), tf.gather(sizes, kept))
    first = byte_string.padded(tf.strings.substr(encoded, 0, _FIRST), _FIRST)
    data = byte_string.bytes_at(first, tf.constant(16, tf.int64), 10)
    size = tf.reduce_sum(tf.reshape(data[:8], [2, 4]) * [2**24, 2**16, 2**8, 1], axis=1)[::-1]
    size = tf.minimum(size, 2**31)  # PNG allows less; the product of both must not overflow
    depth = data[8]
    channels = tf.gather(tf.constant(_CHANNELS, tf.int64), tf.minimum(data[9], 6))
    return PngHeader(
        size=size,
        depth=depth,
        raw_bytes=size[0] * (1 + (size[1] * tf.minimum(depth, 16) * channels + 7) // 8),
        pixel_bytes=tf.reduce_sum(tf.where(is_pixels, sizes, 0)),
        is_walked=is_walked,
        orientation=_orientation(encoded, starts, sizes, names),
        content=tf.strings.join(
            [tf.strings.substr(encoded, 0, _FIRST), tf.strings.reduce_join(slices), _END]
        ),
    )


def _runs(encoded):
    """Starts and sizes, int64 [R], of the chunks after IHDR, and whether these are all.

    IDAT chunks of equal size are grouped. A last chunk with no more bytes than IEND is ignored.
    """
    length = byte_string.length(encoded)
    # One more than a run has; it is never taken.
    numbers = tf.range(_RUN + 1, dtype=tf.int64)
    is_allowed = tf.constant([True] * _RUN + [False])

    def step(offset, is_running, steps, starts, sizes):
        head = tf.strings.substr(encoded, offset, 8)
        pair = byte_string.big_endian(head, tf.int32)
        size, name = pair[0] + 12, pair[1]
        offsets = offset + size * numbers
        inside = is_allowed & (offsets >= 0) & (offsets + 8 <= length)
        heads = byte_string.substrings(encoded, tf.where(inside, offsets, 0), 8)
        alike = tf.argmin(tf.cast(inside & (heads == head), tf.int32))
        run = tf.where(name == _IDAT, size * alike, size)
        end = offset + run
        is_running = (name != _IEND) & (size >= 12) & (end + len(_END) < length)
        return end, is_running, steps + 1, starts.write(steps, offset), sizes.write(steps, run)

    def array():
        return tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=[])

    first = tf.constant(_FIRST, tf.int64)
    _, is_running, _, starts, sizes = tf.while_loop(
        lambda offset, is_running, steps, starts, sizes: is_running & (steps < MAX_STEPS),
        step,
        [first, first + 8 <= length, tf.constant(0), array(), array()],
    )
    sizes = sizes.stack()
    # 31 bits are allowed; a longer chunk has a negative size.
    return starts.stack(), tf.maximum(sizes, 0), ~is_running & tf.reduce_all(sizes >= 12)


def _orientation(encoded, starts, sizes, names):
    def content(is_wanted, max_bytes):
        """The content of the first of these chunks; empty if there is none."""
        first = tf.where(is_wanted)[:1, 0]
        offset = tf.reduce_sum(tf.gather(starts, first)) + 8
        size = tf.minimum(tf.reduce_sum(tf.gather(sizes, first)) - 12, max_bytes)
        return tf.strings.substr(encoded, offset, tf.maximum(size, 0))

    def searched():
        exif = content(is_exif, orientation.MAX_TIFF_BYTES)
        # Some writers add the prefix that EXIF has in a JPEG.
        exif = tf.strings.regex_replace(exif, r"^Exif\x00\x00", "")
        is_xmp = is_text & (byte_string.substrings(encoded, starts + 8, len(_XMP)) == _XMP)
        xmp = content(is_xmp, orientation.MAX_XMP_BYTES)
        return orientation.choose(
            orientation.exif_orientation(exif), orientation.xmp_orientation(xmp)
        )

    is_exif, is_text = names == _EXIF, names == _TEXT
    one = tf.constant(1, tf.int64)
    return tf.cond(tf.reduce_any(is_exif | is_text), searched, lambda: one)
