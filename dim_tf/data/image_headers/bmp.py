"""A BMP's header: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage."""

import struct

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import Header, check_pixels

MAX_RLE_BYTES = 2**20  # decoded in Python: about a second


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a BMP."""
    (size,) = struct.unpack_from("<I", data, 14)
    compression = 0
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    check_pixels(width, abs(height), max_pixels)
    if compression in (1, 2) and (len(data) > MAX_RLE_BYTES or width > 2**15):
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)  # Pillow decodes run lengths in Python
    if compression in (4, 5):  # a JPEG or PNG, for printers
        raise UndecodableError(Fault.UNSUPPORTED_FORMAT)
    return Header("BMP", data, width, abs(height))
