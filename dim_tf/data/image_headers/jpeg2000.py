"""A JPEG 2000's boxes and codestream: ITU-T T.800, annexes A and I."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_SEGMENTS, Header, check_pixels

_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD = 0xFF52, 0xFF53, 0xFF90, 0xFF93
_MAX_TILES, _MAX_LAYERS = 2**12, 256
_MAX_CODE_BLOCKS = 2**19  # 2**25 pixels in three components and blocks of 16 x 16 are fewer


def read(data: bytes, max_pixels: int) -> Header:
    """As `image_headers.read`, of a JPEG 2000."""
    place = 0 if data.startswith(_SOC_SIZ) else _codestream(data, 0, len(data))
    if data[place : place + 4] != _SOC_SIZ:
        raise UndecodableError(Fault.BROKEN)
    right, bottom, left, top = struct.unpack_from(">4I", data, place + 8)
    tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">4I", data, place + 24)
    (components,) = struct.unpack_from(">H", data, place + 40)
    width, height = right - left, bottom - top
    check_pixels(width, height, max_pixels)
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if not 1 <= components <= 4:
        raise UndecodableError(Fault.PIXELS)
    if not 1 <= tiles <= _MAX_TILES:
        raise UndecodableError(Fault.HEADER)
    place, segments, tile_end = place + 2, 0, 0
    while place + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, place)
        segments += 1
        if segments > 16 * MAX_SEGMENTS:
            raise UndecodableError(Fault.HEADER)
        if marker == _SOT:
            (size,) = struct.unpack_from(">I", data, place + 6)
            tile_end = place + size if size else len(data)
        elif marker == _SOD:
            if tile_end <= place:
                raise UndecodableError(Fault.BROKEN)
            place = tile_end
            continue
        elif marker in (_COD, _COC):
            # Style; of COC after the component's number, of COD before 4 bytes for all components.
            at = place + 4 + (marker == _COC)
            if marker == _COD and struct.unpack_from(">H", data, at + 2)[0] > _MAX_LAYERS:
                raise UndecodableError(Fault.HEADER)
            parameters = data[at + 1 + 4 * (marker == _COD) : place + 2 + length]
            _check_blocks(data[at], parameters, width, height, components)
        elif marker < 0xFF00 or length < 2:
            break  # the end, or what the decoder will refuse
        place += 2 + length
    return Header("JPEG2000", data, width, height)


def _codestream(data, place, end, depth=0):
    """Where the codestream begins; boxes are a length, a name and a content."""
    for _ in range(MAX_SEGMENTS):
        if place + 8 > end:
            break
        length, kind = struct.unpack_from(">I4s", data, place)
        begin = place + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        if kind == b"jp2c":
            return begin
        if length < begin - place:
            raise UndecodableError(Fault.BROKEN)
        if kind == b"jp2h" and not depth:
            _codestream(data, begin, min(place + length, end), 1)
        place += length
    else:
        raise UndecodableError(Fault.HEADER)
    if depth:
        return end
    raise UndecodableError(Fault.BROKEN)


def _check_blocks(style, parameters, width, height, components):
    """Precincts and code blocks take memory each, however few pixels they have."""
    levels, *block = parameters[0], parameters[1] + 2, parameters[2] + 2
    precincts = parameters[5 : 6 + levels] if style & 1 else b"\xff" * (levels + 1)
    if levels > 32 or len(precincts) <= levels:
        raise UndecodableError(Fault.BROKEN)
    total = 0
    for resolution, precinct in enumerate(precincts):
        across, down = (-(-side >> (levels - resolution)) for side in (width, height))
        wide, high = precinct & 15, precinct >> 4
        total += -(-across >> wide) * -(-down >> high)
        # Above the lowest resolution a precinct is of three bands, half as wide and high.
        wide, high = (
            min(exponent, max(half - (resolution > 0), 0))
            for exponent, half in zip(block, (wide, high), strict=True)
        )
        total += -(-across >> wide) * -(-down >> high)
    if total * components > _MAX_CODE_BLOCKS:
        raise UndecodableError(Fault.HEADER)
