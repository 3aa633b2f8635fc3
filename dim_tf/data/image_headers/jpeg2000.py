"""A JPEG 2000's boxes and codestream: ITU-T T.800, annexes A and I."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_SEGMENTS, Header, check_pixels

_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD = 0xFF52, 0xFF53, 0xFF90, 0xFF93
_MAX_TILES, _MAX_LAYERS = 2**12, 256
_MAX_CODE_BLOCKS = 2**19  # 2**25 pixels in three components and blocks of 16 x 16 are fewer


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a JPEG 2000."""
    offset = 0 if data.startswith(_SOC_SIZ) else _codestream(data, 0, len(data))
    if data[offset : offset + 4] != _SOC_SIZ:
        raise UndecodableError(Fault.BROKEN)
    right, bottom, left, top = struct.unpack_from(">4I", data, offset + 8)
    tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">4I", data, offset + 24)
    (components,) = struct.unpack_from(">H", data, offset + 40)
    width, height = right - left, bottom - top
    check_pixels(width, height, max_pixels)
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if not 1 <= components <= 4:
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)
    if not 1 <= tiles <= _MAX_TILES:
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
    offset, segments, tile_end = offset + 2, 0, 0
    while offset + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, offset)
        segments += 1
        if segments > 16 * MAX_SEGMENTS:
            raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
        if marker == _SOT:
            (size,) = struct.unpack_from(">I", data, offset + 6)
            tile_end = offset + size if size else len(data)
        elif marker == _SOD:
            if tile_end <= offset:
                raise UndecodableError(Fault.BROKEN)
            offset = tile_end
            continue
        elif marker in (_COD, _COC):
            # Style; in COC after the component's number, in COD before 4 bytes for all components.
            style_offset = offset + 4 + (marker == _COC)
            if marker == _COD and struct.unpack_from(">H", data, style_offset + 2)[0] > _MAX_LAYERS:
                raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
            parameters = data[style_offset + 1 + 4 * (marker == _COD) : offset + 2 + length]
            _check_blocks(data[style_offset], parameters, width, height, components)
        elif marker < 0xFF00 or length < 2:
            break  # the end, or what the decoder refuses
        offset += 2 + length
    return Header("JPEG2000", data, width, height)


def _codestream(data, offset, end, depth=0):
    """The offset of the codestream; a box is a length, a type and a content."""
    for _ in range(MAX_SEGMENTS):
        if offset + 8 > end:
            break
        length, box_type = struct.unpack_from(">I4s", data, offset)
        begin = offset + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        if box_type == b"jp2c":
            return begin
        if length < begin - offset:
            raise UndecodableError(Fault.BROKEN)
        if box_type == b"jp2h" and not depth:
            _codestream(data, begin, min(offset + length, end), 1)
        offset += length
    else:
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
    if depth:
        return end
    raise UndecodableError(Fault.BROKEN)


def _check_blocks(style, parameters, width, height, components):
    """Limits precincts and code blocks, each of which takes memory, however few pixels it has."""
    levels, *block = parameters[0], parameters[1] + 2, parameters[2] + 2
    precincts = parameters[5 : 6 + levels] if style & 1 else b"\xff" * (levels + 1)
    if levels > 32 or len(precincts) <= levels:
        raise UndecodableError(Fault.BROKEN)
    total = 0
    for resolution, precinct in enumerate(precincts):
        subband_width, subband_height = (
            -(-side >> (levels - resolution)) for side in (width, height)
        )
        wide, high = precinct & 15, precinct >> 4
        total += -(-subband_width >> wide) * -(-subband_height >> high)
        # Above the lowest resolution, a precinct has three bands, half as wide and high.
        wide, high = (
            min(exponent, max(half - (resolution > 0), 0))
            for exponent, half in zip(block, (wide, high), strict=True)
        )
        total += -(-subband_width >> wide) * -(-subband_height >> high)
    if total * components > _MAX_CODE_BLOCKS:
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
