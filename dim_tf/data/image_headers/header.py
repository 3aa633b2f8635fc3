"""The header that the readers of all formats return, and what they share."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dim_tf.data.image_bounds import MAX_SIDE
from dim_tf.data.image_faults import Fault, UndecodableError

MAX_SEGMENTS = 1024  # of a JPEG; 64 MiB of extended XMP take as many
# Chunks of a PNG or WebP: libpng writes 8 KiB of pixels into each, so 2**28 bytes are 2**15 chunks.
MAX_CHUNKS = 2**17
MAX_XMP = 2**20  # bytes that are searched for an orientation


class Header(NamedTuple):
    """An image file's header, read before it is decoded.

    Attributes:
        format: One of `image_headers.FORMATS`.
        data: The file in the form that its decoder gets; for a PBM, PGM or PPM only the pixels.
        width: Pixels, as stored; 0 if the decoder reports it before it decodes.
        height: Pixels, as stored; 0 in the same case.
        orientation: Result of `orientation.orientation_of`.
        bits: 16 if a channel has 16 bits, of which the file may use any part; else 8.
        channels: Number of channels of a PNG, TIFF, PBM, PGM or PPM.
        maximum: The value of white in a PGM or PPM, and of black in a PBM; else 0.
        inverted: Whether the pixels have to be inverted after decoding.
        netpbm: The number N of a PBM, PGM or PPM of type PN, 1 to 6; else 0.
        planes: For a TIFF that stores its 16-bit channels separately, each of them as a TIFF.
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
    """Raises UndecodableError if an image has no pixels, or more than are allowed."""
    if width <= 0 or height <= 0:
        raise UndecodableError(Fault.BROKEN)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise UndecodableError(Fault.TOO_MANY_PIXELS)


def chunks(
    data: bytes, offset: int, head_format: str, trailing_bytes: int
) -> Iterator[tuple[int, bytes, int]]:
    """The chunks of a PNG or of a RIFF file, such as a WebP.

    Args:
        data: The content of the file.
        offset: Offset of the first chunk.
        head_format: Format of a chunk's head, for `struct`.
        trailing_bytes: Bytes after the content of a chunk; 0: one if its length is odd.

    Yields:
        Offset, type and length of each; the last chunk may reach beyond the end.

    Raises:
        UndecodableError: There are more than `MAX_CHUNKS`.
    """
    for _ in range(MAX_CHUNKS):
        if offset + 8 > len(data):
            return
        first, second = struct.unpack_from(head_format, data, offset)
        chunk_type, length = (second, first) if head_format == ">I4s" else (first, second)
        yield offset, chunk_type, length
        offset += 8 + length + (trailing_bytes or length % 2)
    raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
