"""A JPEG's segments, walked in a graph before a decoder sees the file.

Cameras and phones put megabytes before the pixels (previews, depth maps) and after them (films,
further images). A decoder gets only the first image: the segments that its pixels need, and its
scans. https://www.w3.org/Graphics/JPEG/itu-t81.pdf, Annex B
"""

from typing import NamedTuple

import tensorflow as tf

from dim_tf.data.graph_headers import byte_string, orientation

# Steps of the walk to the first scan, and of the walk over the scans.
MAX_STEPS = 512
# Bytes that a step to the first scan reads, following up to 16 segments.
_HEADER_WINDOW, _DOUBLINGS = 2**10, 4
_SCAN_WINDOW = 2**16  # bytes of a scan that are searched at once
_SOF0, _RST0, _SOI, _EOI, _SOS = 0xFFC0, 0xFFD0, 0xFFD8, 0xFFD9, 0xFFDA
_APP1, _APP14, _APP15, _COMMENT = 0xFFE1, 0xFFEE, 0xFFEF, 0xFFFE
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


class JpegHeader(NamedTuple):
    """A JPEG's header, read before its pixels are decoded.

    Attributes:
        size: Height and width, int64 [2]; zeros if no scan starts.
        components: Number of channels as stored, int64 scalar.
        scans: Number of scans of the first image, int64 scalar.
        is_buffered: Whether a decoder has to hold all coefficients, bool scalar.
        is_walked: Whether the end of the first image, or of the file, was seen; bool scalar.
        orientation: 1 to 8, int64 scalar.
        content: The first image without what its pixels do not need, string scalar.
    """

    size: tf.Tensor
    components: tf.Tensor
    scans: tf.Tensor
    is_buffered: tf.Tensor
    is_walked: tf.Tensor
    orientation: tf.Tensor
    content: tf.Tensor


def is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a file, string scalar, starts like a JPEG; bool scalar."""
    return tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")


def read(encoded: tf.Tensor, max_scans: int) -> JpegHeader:
    """Reads the segments up to the end of the first image.

    Args:
        encoded: string scalar for which `is_jpeg` is true.
        max_scans: The walk ends if it meets more.
    """
    padded = byte_string.padded(encoded, _HEADER_WINDOW + 3)
    starts, markers, sizes, first_scan, is_header = _segments(encoded, padded)
    is_needed = (
        (markers < _APP1) | (markers == _APP14) | ((markers > _APP15) & (markers != _COMMENT))
    )
    needed = tf.where(is_needed & (markers != _SOS))[:, 0]
    slices = tf.strings.substr(encoded, tf.gather(starts, needed), tf.gather(sizes, needed))
    is_frame = (markers == _SOF0) | ((markers & 0xFFF0 == _SOF0) & (markers & 3 != 0))
    # Without a scan, nothing is decoded.
    frame = tf.where(is_frame & (first_scan > 0))[:1, 0]
    frame_marker = tf.reduce_sum(tf.gather(markers, frame))
    offset = tf.reduce_sum(tf.gather(starts, frame))
    data = byte_string.bytes_at(padded, offset, 10) * tf.cast(tf.size(frame), tf.int64)
    scan = byte_string.bytes_at(padded, first_scan, 5)
    begin = first_scan + 2 + scan[2] * 256 + scan[3]
    scans, end, is_walked = _scans(encoded, padded, first_scan, begin, max_scans)
    return JpegHeader(
        size=data[5:9:2] * 256 + data[6:10:2],
        components=data[9],
        scans=scans,
        is_buffered=(scans > 1) | (scan[4] < data[9]) | (frame_marker & 3 == 2),
        is_walked=is_header & is_walked,
        orientation=_orientation(encoded, starts, markers, sizes),
        content=tf.strings.join(
            [
                b"\xff\xd8",
                tf.strings.reduce_join(slices),
                tf.strings.substr(encoded, first_scan, end - first_scan),
            ]
        ),
    )


def _segments(encoded, padded):
    """The segments before the first scan, its offset, and whether the walk is complete.

    Returns:
        Starts, markers and sizes, int64 [S]; the scan's offset, 0: none; whether the walk is
        complete.
    """
    length = byte_string.length(encoded)
    numbers = tf.range(_HEADER_WINDOW, dtype=tf.int64)
    outside = tf.constant([_HEADER_WINDOW], tf.int64)

    def step(offset, is_running, steps, starts):
        data = byte_string.bytes_at(padded, offset, _HEADER_WINDOW + 3)
        seconds = data[1:-2]
        # No segment starts elsewhere: at fill bytes, and at bytes outside segments.
        is_segment = (data[:-3] == 0xFF) & (seconds >= 0xC0) & (seconds != 0xFF)
        ends = numbers + tf.where(is_segment, 2 + data[2:-1] * 256 + data[3:], 1)
        ends = tf.where(is_segment & (seconds == _SOS & 0xFF), numbers, ends)
        # From each offset to that of the next segment; then doubled.
        jump = tf.concat([tf.minimum(ends, _HEADER_WINDOW), outside], axis=0)
        path = tf.constant([0], tf.int64)
        for _ in range(_DOUBLINGS):
            path = tf.concat([path, tf.gather(jump, path)], axis=0)
            jump = tf.gather(jump, jump)
        last = tf.reduce_max(tf.where(path < _HEADER_WINDOW, path, 0))
        end = offset + tf.gather(ends, last)
        is_scan = tf.gather(ends, last) == last
        starts = starts.write(steps, tf.where(path < _HEADER_WINDOW, offset + path, length))
        return end, ~is_scan & (end + 4 <= length), steps + 1, starts

    starts = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=[2**_DOUBLINGS])
    _, is_running, _, starts = tf.while_loop(
        lambda offset, is_running, steps, starts: is_running & (steps < MAX_STEPS),
        step,
        [tf.constant(2, tf.int64), length >= 6, tf.constant(0), starts],
    )
    starts = tf.unique(starts.concat()).y
    starts = tf.gather(starts, tf.where(starts + 4 <= length)[:, 0])
    heads = byte_string.substrings(encoded, starts, 4)
    pairs = tf.reshape(byte_string.big_endian(heads, tf.uint16), [-1, 2])
    segments = tf.where((pairs[:, 0] >= _SOF0) & (pairs[:, 0] != 0xFFFF))[:, 0]
    starts, pairs = tf.gather(starts, segments), tf.gather(pairs, segments)
    markers = pairs[:, 0]
    scan = tf.reduce_sum(tf.where(markers == _SOS, starts, 0))
    return starts, markers, 2 + pairs[:, 1], scan, ~is_running


def _scans(encoded, padded, first, begin, max_scans):
    """The number of scans, the end of the first image, and whether the walk reached it.

    In entropy-coded data, 0xFF is followed by 0 or a restart marker; anything else is a segment
    (B.1.1.5).
    """
    length = byte_string.length(encoded)
    max_steps = MAX_STEPS + length // _SCAN_WINDOW

    def step(offset, is_running, steps, scans):
        data = tf.io.decode_raw(tf.strings.substr(encoded, offset, _SCAN_WINDOW), tf.uint8)
        candidates = tf.where(data[:-1] == 0xFF)[:, 0]
        seconds = tf.gather(data, candidates + 1)
        is_marker = (seconds >= 0xC0) & (seconds != 0xFF) & (seconds & 0xF8 != _RST0 & 0xFF)
        last = tf.size(data, tf.int64) - 1
        offset += tf.concat([tf.gather(candidates, tf.where(is_marker)[:1, 0]), [last]], axis=0)[0]
        head = byte_string.bytes_at(padded, offset, 4)
        marker = tf.where(tf.reduce_any(is_marker), head[0] * 256 + head[1], 0)
        size = tf.where(marker > 0, 2 + head[2] * 256 + head[3], 0)
        # Without a marker, the last byte may be the first half of one.
        end = offset + tf.where((marker != _SOI) & (marker != _EOI), size, 2)
        scans += tf.cast(marker == _SOS, tf.int64)
        return end, (marker != _EOI) & (end + 2 <= length), steps + 1, scans

    one = tf.cast(first > 0, tf.int64)
    offset, is_running, _, scans = tf.while_loop(
        lambda offset, is_running, steps, scans: (
            is_running & (steps < max_steps) & (scans <= max_scans)
        ),
        step,
        [begin, (first > 0) & (begin + 2 <= length), tf.constant(0, tf.int64), one],
    )
    return scans, tf.minimum(offset, length), ~is_running | (scans > max_scans)


def _orientation(encoded, starts, markers, sizes):
    def first(offsets, ends, name):
        """The content, after its name, of the first of these segments; empty if there is none."""
        begins = byte_string.substrings(encoded, offsets + 4, len(name))
        segment = tf.where(begins == name)[:1, 0]
        offset = tf.reduce_sum(tf.gather(offsets, segment)) + 4 + len(name)
        size = tf.maximum(tf.reduce_sum(tf.gather(ends, segment)) - offset, 0)
        return tf.strings.substr(encoded, tf.where(size > 0, offset, 0), size)

    def searched():
        rows = tf.where(markers == _APP1)[:, 0]
        offsets = tf.gather(starts, rows)
        ends = offsets + tf.gather(sizes, rows)
        exif = orientation.exif_orientation(first(offsets, ends, _EXIF))
        return orientation.choose(exif, orientation.xmp_orientation(first(offsets, ends, _XMP)))

    one = tf.constant(1, tf.int64)
    return tf.cond(tf.reduce_any(markers == _APP1), searched, lambda: one)
