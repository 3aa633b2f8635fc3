"""A JPEG's segments, walked in a graph before a decoder sees the file.

Cameras and telephones put megabytes before the pixels (previews, depth maps) and behind them
(films, further images). A decoder is given the first image alone: the segments that its pixels
need, and its scans. https://www.w3.org/Graphics/JPEG/itu-t81.pdf, Annex B
"""

from typing import NamedTuple

import tensorflow as tf

from dim_tf.data import byte_string, orientation

# Of the walk to the first scan, and of that over the scans: a segment or a byte that fills up.
MAX_STEPS = 1024
_WINDOW = 2**16  # bytes of a scan that are searched at once
_RST0, _SOI, _EOI, _SOS = 0xFFD0, 0xFFD8, 0xFFD9, 0xFFDA
_APP0, _APP1, _APP14, _APP15, _COMMENT = 0xFFE0, 0xFFE1, 0xFFEE, 0xFFEF, 0xFFFE
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


class JpegHeader(NamedTuple):
    """What a JPEG says before its pixels are decoded.

    Attributes:
        size: height and width, int64 [2]; zeros where no scan begins.
        scans: of the first image, int64 scalar.
        is_buffered: whether a decoder has to hold all coefficients, bool scalar.
        is_walked: whether the first image's end was seen, or the file's; bool scalar.
        orientation: 1 to 8, int64 scalar.
        content: the first image without what its pixels do not need, string scalar.
    """

    size: tf.Tensor
    scans: tf.Tensor
    is_buffered: tf.Tensor
    is_walked: tf.Tensor
    orientation: tf.Tensor
    content: tf.Tensor


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file, string scalar, begins as a JPEG does; bool scalar."""
    return tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")


def read(encoded: tf.Tensor, max_scans: int) -> JpegHeader:
    """Reads the segments up to the first image's end.

    Args:
        encoded: string scalar, for which `is_jpeg`.
        max_scans: the walk ends when it meets more.
    """
    starts, words, sizes, first_scan, is_header = _segments(encoded)
    is_kept = _has_length(words) & ((words < _APP1) | (words == _APP14) | (words > _APP15))
    is_kept &= words != _COMMENT
    slices = tf.strings.substr(
        encoded, tf.boolean_mask(starts, is_kept), tf.boolean_mask(sizes, is_kept)
    )
    is_frame = (words >= 0xFFC0) & (words <= 0xFFCF)
    is_frame &= (words != 0xFFC4) & (words != 0xFFC8) & (words != 0xFFCC)
    # Where no scan begins nothing is decoded.
    frame = tf.where(is_frame & (first_scan > 0))[:1, 0]
    kind = tf.reduce_sum(tf.gather(words, frame)) & 0x0F
    place = tf.reduce_sum(tf.gather(starts, frame))
    octets = byte_string.octets_at(encoded, place, 10) * tf.cast(tf.size(frame), tf.int64)
    components = byte_string.octets_at(encoded, first_scan, 5)[4]
    scans, end, is_walked = _scans(encoded, first_scan, max_scans)
    return JpegHeader(
        size=octets[5:9:2] * 256 + octets[6:10:2],
        scans=scans,
        is_buffered=(scans > 1) | (components < octets[9]) | (kind & 3 == 2),
        is_walked=is_header & is_walked,
        orientation=_orientation(encoded, starts, words, sizes),
        content=tf.strings.join(
            [
                b"\xff\xd8",
                tf.strings.reduce_join(slices),
                tf.strings.substr(encoded, first_scan, end - first_scan),
            ]
        ),
    )


def _has_length(words):
    """Which words are markers of segments that tell their length (Table B.1)."""
    is_alone = (words & 0xFFF8 == _RST0) | (words == _SOI) | (words == _EOI) | (words == 0xFFFF)
    return (words >= 0xFFC0) & ~is_alone


def _segments(encoded):
    """What stands before the first scan, where that is, and whether the walk came to its end.

    Returns:
        Starts, markers and sizes, int64 [S]; a byte that belongs to no segment is one without a
        marker. The scan's place, 0 where none begins.
    """
    length = byte_string.length(encoded)

    def step(place, going, taken, starts):
        pair = byte_string.big_endian(tf.strings.substr(encoded, place, 4), tf.uint16)
        word, size = pair[0], pair[1]
        end = place + tf.where(_has_length(word), 2 + tf.maximum(size, 2), 1)
        return end, (word != _SOS) & (end + 4 <= length), taken + 1, starts.write(taken, place)

    starts = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=[])
    _, going, _, starts = tf.while_loop(
        lambda place, going, taken, starts: going & (taken < MAX_STEPS),
        step,
        [tf.constant(2, tf.int64), length >= 6, tf.constant(0), starts],
    )
    starts = starts.stack()
    heads = byte_string.pieces(encoded, starts, 4)
    pairs = tf.reshape(byte_string.big_endian(heads, tf.uint16), [-1, 2])
    words, sizes = pairs[:, 0], 2 + tf.maximum(pairs[:, 1], 2)
    scan = tf.reduce_sum(tf.where(words == _SOS, starts, 0))
    before = tf.where(scan > 0, tf.size(starts) - 1, tf.size(starts))
    return starts[:before], words[:before], sizes[:before], scan, ~going


def _scans(encoded, first, max_scans):
    """The scans from the first on, the first image's end, and whether the walk came to it.

    In the pixels' code 0xFF is followed by 0 or a restart's mark: all else is a segment (B.1.1.5).
    """
    length = byte_string.length(encoded)
    max_steps = MAX_STEPS + length // _WINDOW

    def step(place, going, taken, scans):
        octets = tf.io.decode_raw(tf.strings.substr(encoded, place, _WINDOW), tf.uint8)
        marks = tf.where(octets[:-1] == 0xFF)[:, 0]
        seconds = tf.gather(octets, marks + 1)
        is_marker = (seconds >= 0xC0) & (seconds != 0xFF) & (seconds & 0xF8 != _RST0 & 0xFF)
        last = tf.size(octets, tf.int64) - 1
        place += tf.concat([tf.gather(marks, tf.where(is_marker)[:1, 0]), [last]], axis=0)[0]
        head = byte_string.octets_at(encoded, place, 4)
        word = tf.where(tf.reduce_any(is_marker), head[0] * 256 + head[1], 0)
        size = tf.where(_has_length(word), 2 + tf.maximum(head[2] * 256 + head[3], 2), 0)
        # Without a marker the last byte may be the first half of one.
        end = place + tf.where((word != _SOI) & (word != _EOI), size, 2)
        scans += tf.cast(word == _SOS, tf.int64)
        return end, (word != _EOI) & (end + 2 <= length), taken + 1, scans

    size = byte_string.octets_at(encoded, first, 4)
    begin = first + 2 + size[2] * 256 + size[3]
    one = tf.cast(first > 0, tf.int64)
    place, going, _, scans = tf.while_loop(
        lambda place, going, taken, scans: going & (taken < max_steps) & (scans <= max_scans),
        step,
        [begin, (first > 0) & (begin + 2 <= length), tf.constant(0, tf.int64), one],
    )
    return scans, tf.minimum(place, length), ~going | (scans > max_scans)


def _orientation(encoded, starts, words, sizes):
    places = tf.gather(starts, tf.where(words == _APP1)[:, 0])
    ends = places + tf.gather(sizes, tf.where(words == _APP1)[:, 0])

    def first(name):
        """What the first of these segments holds behind its name; empty without one."""
        begins = byte_string.pieces(encoded, places + 4, len(name))
        segment = tf.where(begins == name)[:1, 0]
        place = tf.reduce_sum(tf.gather(places, segment)) + 4 + len(name)
        size = tf.maximum(tf.reduce_sum(tf.gather(ends, segment)) - place, 0)
        return tf.strings.substr(encoded, tf.where(size > 0, place, 0), size)

    def searched():
        exif, xmp = orientation.of_tiff(first(_EXIF)), orientation.of_xmp(first(_XMP))
        return orientation.chosen(exif, xmp)

    one = tf.constant(1, tf.int64)
    return tf.cond(tf.size(places) > 0, searched, lambda: one)
