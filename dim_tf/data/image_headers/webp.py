"""A WebP's chunks: https://www.rfc-editor.org/rfc/rfc9649."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_XMP, Header, check_pixels, chunks
from dim_tf.data.image_headers.orientation import orientation_of


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a WebP."""
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    data = data[:end]
    exif = xmp = b""
    canvas = animation = image = None
    flags = 0
    for offset, chunk_type, length in chunks(data, 12, "<4sI", 0):
        content = data[offset + 8 : offset + 8 + min(length, MAX_XMP)]
        if chunk_type == b"VP8X" and canvas is None:
            flags = content[0]
            canvas = tuple(_uint_le(content[i : i + 3]) + 1 for i in (4, 7))
        elif chunk_type == b"ANIM":
            animation = data[offset : offset + 8 + length]
        elif chunk_type in (b"VP8 ", b"VP8L", b"ANMF") and image is None:
            image = data[offset : offset + 8 + length + length % 2]
            if chunk_type == b"ANMF":
                size = tuple(_uint_le(content[i : i + 3]) + 1 for i in (6, 9))
                frame = [chunk for chunk in chunks(image, 24, "<4sI", 0) if chunk[1] != b"ALPH"]
                coded = _webp_size(frame[0][1], image[frame[0][0] + 8 :]) if frame else size
                if coded != size:
                    raise UndecodableError(Fault.BROKEN)
            else:
                size = _webp_size(chunk_type, content)
            declared = 8 + length + length % 2
        elif chunk_type == b"EXIF":
            exif = exif or content
        elif chunk_type == b"XMP ":
            xmp = xmp or content
    if image is None:
        raise UndecodableError(Fault.BROKEN)
    is_animated = image[:4] == b"ANMF"
    if is_animated and (canvas is None or animation is None):
        raise UndecodableError(Fault.BROKEN)
    width, height = canvas if is_animated and canvas else size
    check_pixels(width, height, max_pixels)
    check_pixels(size[0], size[1], max_pixels)
    canvas_chunks = b""
    if is_animated:  # so that the first frame is drawn at its position
        content = struct.pack("<4sI", b"VP8X", 10) + bytes((flags & 0x12, 0, 0, 0))
        canvas_chunks = content + _uint24_le(width - 1) + _uint24_le(height - 1) + animation
    # The declared length, so that a truncated file remains truncated.
    riff = b"RIFF" + struct.pack("<I", 4 + len(canvas_chunks) + declared) + b"WEBP"
    orientation = orientation_of(exif, xmp)
    return Header("WEBP", riff + canvas_chunks + image, width, height, orientation)


def _webp_size(chunk_type, content):
    if chunk_type == b"VP8L":
        bits = _uint_le(content[1:5])
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", content, 6)
    return width & 0x3FFF, height & 0x3FFF


def _uint_le(data):
    return int.from_bytes(data, "little")


def _uint24_le(number):
    return number.to_bytes(3, "little")
