"""The header that the readers of all formats return, and what they share."""

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
    """An image file's header, read before it is decoded.

    Attributes:
        format: of `image_headers.FORMATS`.
        data: the file as its decoder is to see it; of a PBM, PGM or PPM the pixels alone.
        width: pixels, as stored; 0 where the decoder reports it before it decodes.
        height: likewise.
        orientation: of `orientation.orientation_of`.
        bits: 16 if a channel has 16 bits, of which the file may use any part; else 8.
        channels: of a PNG, TIFF, PBM, PGM or PPM.
        maximum: the value of white in a PGM or PPM, of black in a PBM; else 0.
        inverted: whether the pixels, as a decoder gives them, have to be inverted.
        netpbm: the number N of a PBM, PGM or PPM of type PN, 1 to 6; else 0.
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
    netpbm: int = 0
    planes: tuple[bytes, ...] = ()


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises UndecodableError where an image has no pixels, or more than are allowed."""
    if width <= 0 or height <= 0:
        raise UndecodableError(Fault.BROKEN)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise UndecodableError(Fault.TOO_MANY_PIXELS)


def chunks(
    data: bytes, offset: int, head_format: str, trailing_bytes: int
) -> Iterator[tuple[int, bytes, int]]:
    """The chunks of a PNG or of a RIFF file, as WebP is one.

    Args:
        data: the file.
        offset: of the first.
        head_format: of a chunk's head, for `struct`.
        trailing_bytes: behind a chunk's content; 0: one where its length is odd.

    Yields:
        Offset, type and length of each; the last may reach beyond the end.

    Raises:
        UndecodableError: there are more than `MAX_CHUNKS`.
    """
    for _ in range(MAX_CHUNKS):
        if offset + 8 > len(data):
            return
        first, second = struct.unpack_from(head_format, data, offset)
        chunk_type, length = (second, first) if head_format == ">I4s" else (first, second)
        yield offset, chunk_type, length
        offset += 8 + length + (trailing_bytes or length % 2)
    raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
