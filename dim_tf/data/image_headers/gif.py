"""A GIF's blocks: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_SEGMENTS, Header, check_pixels

MAX_BLOCKS = 2**21  # of 255 bytes, in which a GIF keeps its pixels


def read(data: bytes, max_pixels: int) -> Header:
    """As `image_headers.read`, of a GIF."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + _colours(flags)
    head, control = data[:place], b""
    for _ in range(MAX_SEGMENTS):
        kind = data[place]
        if kind == 0x21:
            end = _end_of_blocks(data, place + 2)
            if data[place + 1] == 0xF9 and end - place == 8:
                control = data[place:end]  # of the picture that follows
            place = end
        elif kind == 0x2C:
            left, top, across, down, flags = struct.unpack_from("<HHHHB", data, place + 1)
            width, height = max(width, left + across), max(height, top + down)
            check_pixels(width, height, max_pixels)
            end = _end_of_blocks(data, place + 11 + _colours(flags))
            return Header("GIF", head + control + data[place:end] + b";", width, height)
        else:
            raise UndecodableError(Fault.BROKEN)
    raise UndecodableError(Fault.HEADER)


def _colours(flags):
    return 6 << (flags & 7) if flags & 0x80 else 0


def _end_of_blocks(data, place):
    for _ in range(MAX_BLOCKS):
        length = data[place]
        place += 1 + length
        if not length:
            return place
    raise UndecodableError(Fault.HEADER)
