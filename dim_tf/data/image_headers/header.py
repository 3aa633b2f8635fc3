"""What the readers of all formats give, and what they share."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dim_tf.data.image_bounds import MAX_SIDE
from dim_tf.data.image_faults import Fault, UndecodableError

MAX_SEGMENTS = 1024  # of a JPEG; 64 MiB of extended XMP are as many
# A PNG's, a WebP's: libpng writes 8 KiB of pixels into each, so 2**28 bytes are 2**15.
MAX_CHUNKS = 2**17
MAX_XMP = 2**20  # bytes that are searched for an orientation


class Header(NamedTuple):
    """What is known of an image before it is decoded.

    Attributes:
        format: of `image_headers.FORMATS`.
        data: the file as its decoder is to see it; of a PBM, PGM or PPM the pixels alone.
        width: pixels, as stored; 0 where the decoder tells it before it decodes.
        height: likewise.
        orientation: as `orientation.orientation_of` has it.
        bits: 16 if a channel's pixels have 16 bits and the file may use any part of their range.
        channels: of a PNG, TIFF, PBM, PGM or PPM.
        maximum: the value of white in a PGM or PPM, of black in a PBM; else 0.
        inverted: whether the pixels, as a decoder gives them, have to be inverted.
        ppm: which of P1 to P6 it is; else 0.
        planes: of a TIFF that keeps its channels of 16 bits apart, each as a TIFF.
    """

    format: str
    data: bytes
    width: int = 0
    height: int = 0
    orientation: int = 1
    bits: int = 8
    channels: int = 0
    maximum: int = 0
    inverted: bool = False
    ppm: int = 0
    planes: tuple[bytes, ...] = ()


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises UndecodableError where an image has no pixels, or more than are allowed."""
    if width <= 0 or height <= 0:
        raise UndecodableError(Fault.BROKEN)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise UndecodableError(Fault.TOO_LARGE)


def chunks(data: bytes, place: int, layout: str, trailing: int) -> Iterator[tuple[int, bytes, int]]:
    """The chunks of a PNG or of a RIFF file, as WebP is one.

    Args:
        data: the file.
        place: of the first.
        layout: of a chunk's head, for `struct`.
        trailing: bytes behind a chunk's content; 0: of an odd length one.

    Yields:
        Place, name and length of each; the last may be longer than what is left.

    Raises:
        UndecodableError: there are more than `MAX_CHUNKS`.
    """
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            return
        first, second = struct.unpack_from(layout, data, place)
        kind, length = (second, first) if layout == ">I4s" else (first, second)
        yield place, kind, length
        place += 8 + length + (trailing or length % 2)
    raise UndecodableError(Fault.HEADER)
