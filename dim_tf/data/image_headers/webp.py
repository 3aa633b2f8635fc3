"""A WebP's chunks: https://www.rfc-editor.org/rfc/rfc9649."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_XMP, Header, check_pixels, chunks
from dim_tf.data.image_headers.orientation import orientation_of


def read(data: bytes, max_pixels: int) -> Header:
    """As `image_headers.read`, of a WebP."""
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    data = data[:end]
    exif = xmp = b""
    canvas = animation = image = None
    flags = 0
    for place, kind, length in chunks(data, 12, "<4sI", 0):
        content = data[place + 8 : place + 8 + min(length, MAX_XMP)]
        if kind == b"VP8X" and canvas is None:
            flags = content[0]
            canvas = tuple(_little(content[at : at + 3]) + 1 for at in (4, 7))
        elif kind == b"ANIM":
            animation = data[place : place + 8 + length]
        elif kind in (b"VP8 ", b"VP8L", b"ANMF") and image is None:
            image = data[place : place + 8 + length + length % 2]
            if kind == b"ANMF":
                size = tuple(_little(content[at : at + 3]) + 1 for at in (6, 9))
                inner = [one for one in chunks(image, 24, "<4sI", 0) if one[1] != b"ALPH"]
                drawn = _webp_size(inner[0][1], image[inner[0][0] + 8 :]) if inner else size
                if drawn != size:
                    raise UndecodableError(Fault.BROKEN)
            else:
                size = _webp_size(kind, content)
            declared = 8 + length + length % 2
        elif kind == b"EXIF":
            exif = exif or content
        elif kind == b"XMP ":
            xmp = xmp or content
    if image is None:
        raise UndecodableError(Fault.BROKEN)
    is_animated = image[:4] == b"ANMF"
    if is_animated and (canvas is None or animation is None):
        raise UndecodableError(Fault.BROKEN)
    width, height = canvas if is_animated and canvas else size
    check_pixels(width, height, max_pixels)
    check_pixels(size[0], size[1], max_pixels)
    before = b""
    if is_animated:  # only so is the first picture drawn at its place
        content = struct.pack("<4sI", b"VP8X", 10) + bytes((flags & 0x12, 0, 0, 0))
        before = content + _three(width - 1) + _three(height - 1) + animation
    # What is declared, so that a file that was cut off stays so.
    head = b"RIFF" + struct.pack("<I", 4 + len(before) + declared) + b"WEBP"
    turn = orientation_of(exif, xmp)
    return Header("WEBP", head + before + image, width, height, turn)


def _webp_size(kind, content):
    if kind == b"VP8L":
        bits = _little(content[1:5])
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", content, 6)
    return width & 0x3FFF, height & 0x3FFF


def _little(digits):
    return int.from_bytes(digits, "little")


def _three(number):
    return number.to_bytes(3, "little")
