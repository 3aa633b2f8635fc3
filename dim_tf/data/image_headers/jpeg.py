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
_DECODED_SEGMENTS = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_STANDALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))
_FILL = re.compile(rb"\xff+")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_XAP = b"http://ns.adobe.com/xap/1.0/\0"
# Which bytes behind 0xFF end the pixels' code.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_IS_MARKER = np.ones(256, bool)
_IS_MARKER[[0x00, *range(0xD0, 0xD8), 0xFF]] = False


def read(data: bytes, max_pixels: int) -> Header:
    """As `image_headers.read`, of a JPEG."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [view[:2]]
    exif: bytes | None = None
    xmp: bytes | None = None
    size: _JpegSize | None = None
    progressive, samples, is_adobes = False, 0, False
    place, segments, scans = 2, 0, 0
    while True:
        place = data.find(b"\xff", place)
        if place < 0:
            break
        place = _end_of_fill(data, place)
        if place >= len(data):
            break
        marker = data[place]
        place += 1
        if marker in _STANDALONE:
            continue
        if marker == _EOI:
            kept.append(b"\xff\xd9")
            break
        if marker == _SOI:
            raise UndecodableError(Fault.BROKEN)
        segments += 1
        if segments > MAX_SEGMENTS:
            raise UndecodableError(Fault.HEADER)
        if place + 2 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, place)
        if length < 2:
            raise UndecodableError(Fault.BROKEN)
        segment = view[place + 2 : place + length]
        is_kept = marker in _DECODED_SEGMENTS
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
            is_adobes = is_adobes or (is_kept and len(segment) >= 12)
        elif marker == 0xE1 and not scans and exif is None and segment[:6] == b"Exif\0\0":
            exif = bytes(segment)
        elif marker == 0xE1 and not scans and xmp is None and segment[: len(_XAP)] == _XAP:
            xmp = bytes(segment[len(_XAP) :])
        elif marker == _SOS:
            if size is None or not segment:
                raise UndecodableError(Fault.BROKEN)
            scans += 1
            if scans == 1:
                _check_jpeg_memory(size, progressive or segment[0] < len(size.samples), max_pixels)
            if scans > MAX_SCANS:
                raise UndecodableError(Fault.HEADER)
            if scans * size.width * size.height > JPEG_PASSES * max_pixels:
                raise UndecodableError(Fault.TOO_LARGE)
            is_kept = True
        if is_kept:
            kept += [bytes((0xFF, marker)), view[place : place + length]]
        place += length
        if marker == _SOS:
            end = _end_of_scan(view, place)
            # The longest Huffman codes take 27 bits a sample; arithmetic ones are shorter.
            if end - place > 4 * samples + 2**20:
                raise UndecodableError(Fault.HEADER)
            kept.append(view[place:end])
            place = end
    if not scans or size is None:
        raise UndecodableError(Fault.BROKEN)
    turn = orientation_of(exif or b"", xmp or b"")
    header = Header("JPEG", b"".join(kept), size.width, size.height, turn)
    # Adobe stores CMYK inverted, and Pillow takes all of it to be so.
    return header._replace(inverted=len(size.samples) == 4 and not is_adobes)


def _end_of_fill(data, place):
    """Behind 0xFF, of which there may be any number before a marker (B.1.1.2)."""
    fill = _FILL.match(data, place)
    return fill.end() if fill else place


class _JpegSize(NamedTuple):
    width: int
    height: int
    samples: tuple[int, ...]  # of each component, whole blocks of 8 x 8


def _jpeg_frame(segment, max_pixels):
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    if bits != 8 or components not in (1, 3, 4):
        raise UndecodableError(Fault.PIXELS)
    check_pixels(width, height, JPEG_PIXELS * max_pixels)
    factors = [divmod(segment[7 + 3 * index], 16) for index in range(components)]
    across, down = (max(factor[axis] for factor in factors) for axis in (0, 1))
    samples = tuple(
        64 * -(-width * right // (8 * across)) * -(-height * below // (8 * down))
        for right, below in factors
    )
    return _JpegSize(width, height, samples)


def _check_jpeg_memory(size, is_held, max_pixels):
    """Of a JPEG whose components come one after the other, all coefficients are held at once.

    They are counted as they are stored: of halved colours (4:2:0) 1.5 for each pixel.
    `encoded_images` counts one for each component of each pixel, and so refuses some that pass.
    """
    if is_held and sum(size.samples) > JPEG_COEFFICIENTS * max_pixels:
        raise UndecodableError(Fault.TOO_LARGE)


def _end_of_scan(view, place):
    """Where the next marker is, or the file's end."""
    match = _MARKER.search(view, place, place + 2**16)
    if match:
        return match.start()
    # A large image's, or a hostile one's, on which the expression would take seconds.
    place = max(place, min(place + 2**16, len(view)) - 1)
    while place < len(view):
        block = np.frombuffer(view[place : place + 2**20], np.uint8)
        ends = np.flatnonzero((block[:-1] == 0xFF) & _IS_MARKER[block[1:]])
        if len(ends):
            return place + int(ends[0])
        place += max(len(block) - 1, 1)  # a marker may stand across two blocks
    return len(view)
