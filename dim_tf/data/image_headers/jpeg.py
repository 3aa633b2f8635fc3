"""A JPEG's segments: ITU-T T.81, annex B, https://www.w3.org/Graphics/JPEG/itu-t81.pdf."""

import re
import struct
from typing import NamedTuple

import numpy as np

from dim_tf.data.image_bounds import JPEG_COEFFICIENTS, JPEG_PASSES, JPEG_PIXELS, MAX_SCANS
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_SEGMENTS, Header, check_pixels
from dim_tf.data.image_headers.orientation import orientation_of

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
# Frames; tables of Huffman and arithmetic codes and of quantization, the restart interval, lines.
_DECODER_SEGMENTS = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_STANDALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))
_FILL = re.compile(rb"\xff+")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_XMP_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
# The bytes after 0xFF that end the entropy-coded data.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_IS_MARKER = np.ones(256, bool)
_IS_MARKER[[0x00, *range(0xD0, 0xD8), 0xFF]] = False


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a JPEG."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:2]]
    exif: bytes | None = None
    xmp: bytes | None = None
    size: _JpegSize | None = None
    progressive, samples, has_adobe_segment = False, 0, False
    offset, segments, scans = 2, 0, 0
    while True:
        offset = data.find(b"\xff", offset)
        if offset < 0:
            break
        offset = _end_of_fill(data, offset)
        if offset >= len(data):
            break
        marker = data[offset]
        offset += 1
        if marker in _STANDALONE:
            continue
        if marker == _EOI:
            kept.append(b"\xff\xd9")
            break
        if marker == _SOI:
            raise UndecodableError(Fault.BROKEN)
        segments += 1
        if segments > MAX_SEGMENTS:
            raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
        if offset + 2 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, offset)
        if length < 2:
            raise UndecodableError(Fault.BROKEN)
        segment = view[offset + 2 : offset + length]
        is_kept = marker in _DECODER_SEGMENTS
        if marker in _FRAMES:
            if size is not None:
                raise UndecodableError(Fault.BROKEN)
            size = _jpeg_frame(segment, max_pixels)
            samples = sum(size.samples)
            progressive = marker in _PROGRESSIVE
        elif marker == 0xE0:
            is_kept = segment[:4] == b"JFIF"
        elif marker == 0xEE:
            is_kept = segment[:5] == b"Adobe"
            has_adobe_segment = has_adobe_segment or (is_kept and len(segment) >= 12)
        elif marker == 0xE1 and not scans and exif is None and segment[:6] == b"Exif\0\0":
            exif = bytes(segment)
        elif (
            marker == 0xE1
            and not scans
            and xmp is None
            and segment[: len(_XMP_NAMESPACE)] == _XMP_NAMESPACE
        ):
            xmp = bytes(segment[len(_XMP_NAMESPACE) :])
        elif marker == _SOS:
            if size is None or not segment:
                raise UndecodableError(Fault.BROKEN)
            scans += 1
            if scans == 1:
                _check_jpeg_memory(size, progressive or segment[0] < len(size.samples), max_pixels)
            if scans > MAX_SCANS:
                raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
            if scans * size.width * size.height > JPEG_PASSES * max_pixels:
                raise UndecodableError(Fault.TOO_MANY_PIXELS)
            is_kept = True
        if is_kept:
            kept += [bytes((0xFF, marker)), view[offset : offset + length]]
        offset += length
        if marker == _SOS:
            end = _end_of_scan(view, offset)
            # The longest Huffman codes take 27 bits per sample; arithmetic codes are shorter.
            if end - offset > 4 * samples + 2**20:
                raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
            kept.append(view[offset:end])
            offset = end
    if not scans or size is None:
        raise UndecodableError(Fault.BROKEN)
    orientation = orientation_of(exif or b"", xmp or b"")
    header = Header("JPEG", b"".join(kept), size.width, size.height, orientation)
    # Adobe stores CMYK inverted, and Pillow assumes that all of it is.
    return header._replace(inverted=len(size.samples) == 4 and not has_adobe_segment)


def _end_of_fill(data, offset):
    """The offset after the 0xFF bytes, any number of which may precede a marker (B.1.1.2)."""
    fill = _FILL.match(data, offset)
    return fill.end() if fill else offset


class _JpegSize(NamedTuple):
    width: int
    height: int
    samples: tuple[int, ...]  # of each component, whole blocks of 8 x 8


def _jpeg_frame(segment, max_pixels):
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    if bits != 8 or components not in (1, 3, 4):
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)
    check_pixels(width, height, JPEG_PIXELS * max_pixels)
    factors = [divmod(segment[7 + 3 * index], 16) for index in range(components)]
    max_horizontal, max_vertical = (max(factor[axis] for factor in factors) for axis in (0, 1))
    samples = tuple(
        64
        * -(-width * horizontal // (8 * max_horizontal))
        * -(-height * vertical // (8 * max_vertical))
        for horizontal, vertical in factors
    )
    return _JpegSize(width, height, samples)


def _check_jpeg_memory(size, is_buffered, max_pixels):
    """Limits the coefficients, all of which a decoder holds if components follow one another.

    They are counted as stored: 1.5 per pixel for halved colors (4:2:0). `encoded_images` counts one
    per component and pixel, and so refuses some images that pass here.
    """
    if is_buffered and sum(size.samples) > JPEG_COEFFICIENTS * max_pixels:
        raise UndecodableError(Fault.TOO_MANY_PIXELS)


def _end_of_scan(view, offset):
    """The offset of the next marker, or the file's end."""
    match = _MARKER.search(view, offset, offset + 2**16)
    if match:
        return match.start()
    # A large or hostile image, for which the regular expression would take seconds.
    offset = max(offset, min(offset + 2**16, len(view)) - 1)
    while offset < len(view):
        block = np.frombuffer(view[offset : offset + 2**20], np.uint8)
        candidates = np.flatnonzero(block[:-1] == 0xFF)
        ends = candidates[_IS_MARKER[block[candidates + 1]]]
        if len(ends):
            return offset + int(ends[0])
        offset += max(len(block) - 1, 1)  # a marker may straddle two blocks
    return len(view)
