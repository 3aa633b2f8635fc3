"""A GIF's blocks: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_SEGMENTS, Header, check_pixels

MAX_BLOCKS = 2**21  # of up to 255 bytes, in which a GIF stores its pixels


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a GIF."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    offset = 13 + _color_table_bytes(flags)
    header, control = data[:offset], b""
    for _ in range(MAX_SEGMENTS):
        block_type = data[offset]
        if block_type == 0x21:
            end = _end_of_blocks(data, offset + 2)
            if data[offset + 1] == 0xF9 and end - offset == 8:
                control = data[offset:end]  # of the frame that follows
            offset = end
        elif block_type == 0x2C:
            left, top, frame_width, frame_height, flags = struct.unpack_from(
                "<HHHHB", data, offset + 1
            )
            width, height = max(width, left + frame_width), max(height, top + frame_height)
            check_pixels(width, height, max_pixels)
            end = _end_of_blocks(data, offset + 11 + _color_table_bytes(flags))
            return Header("GIF", header + control + data[offset:end] + b";", width, height)
        else:
            raise UndecodableError(Fault.BROKEN)
    raise UndecodableError(Fault.TOO_MANY_SEGMENTS)


def _color_table_bytes(flags):
    return 6 << (flags & 7) if flags & 0x80 else 0


def _end_of_blocks(data, offset):
    for _ in range(MAX_BLOCKS):
        length = data[offset]
        offset += 1 + length
        if not length:
            return offset
    raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
