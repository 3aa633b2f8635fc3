"""A PNG's chunks: https://www.w3.org/TR/png-3/."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_XMP, Header, check_pixels, chunks
from dim_tf.data.image_headers.orientation import orientation_of

_PNG_XMP = b"XML:com.adobe.xmp\0\0"  # the keyword, and that the text is not compressed


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a PNG."""
    if data[8:16] != b"\0\0\0\rIHDR":
        raise UndecodableError(Fault.BROKEN)
    width, height, bits, color_type = struct.unpack_from(">IIBB", data, 16)
    check_pixels(width, height, max_pixels)
    view = memoryview(data)
    kept = [view[:33]]
    exif: bytes | None = None
    xmp: bytes | None = None
    critical = 0
    for offset, chunk_type, length in chunks(data, 33, ">I4s", 4):
        chunk = view[offset : offset + 12 + length]
        content = chunk[8 : 8 + length]
        if chunk_type == b"eXIf":
            exif = bytes(content[: 2**16]) if exif is None else exif
        elif chunk_type == b"iTXt" and content[: len(_PNG_XMP)] == _PNG_XMP:
            xmp = bytes(content[:MAX_XMP]) if xmp is None else xmp
        elif chunk_type in (b"IDAT", b"IEND"):
            kept.append(chunk)
        elif not chunk_type[0] & 0x20:  # any other critical chunk
            critical += 1
            if critical > 8 or length > 768:  # bytes of the largest palette
                raise UndecodableError(Fault.TOO_MANY_SEGMENTS if critical > 8 else Fault.BROKEN)
            kept.append(chunk)
        if chunk_type == b"IEND":
            break
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color_type, 0)
    orientation = orientation_of(exif or b"", xmp or b"")
    return Header(
        "PNG", b"".join(kept), width, height, orientation, 16 if bits == 16 else 8, channels
    )
