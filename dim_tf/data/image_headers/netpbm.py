"""A PBM's, PGM's or PPM's header: https://netpbm.sourceforge.net/doc/ppm.html."""

import re

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import Header, check_pixels

MAX_PLAIN_SAMPLES = 2**21  # decoded in Python: about a second
_SEPARATOR = rb"(?:\s|#[^\r\n]*[\r\n])+"
_BITMAP = re.compile(rb"P[14]" + 2 * (_SEPARATOR + rb"(\d{1,10})") + rb"\s")
_PIXMAP = re.compile(rb"P[2356]" + 3 * (_SEPARATOR + rb"(\d{1,10})") + rb"\s")


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a PBM, PGM or PPM."""
    number = data[1] - ord("0")
    match = (_BITMAP if number in (1, 4) else _PIXMAP).match(data[: 2**12])
    if not match:
        raise UndecodableError(Fault.BROKEN)
    width, height, *rest = map(int, match.groups())
    maximum = rest[0] if rest else 1
    check_pixels(width, height, max_pixels)
    if not 1 <= maximum < 2**16:
        raise UndecodableError(Fault.BROKEN)
    channels = 3 if number in (3, 6) else 1
    samples = channels * width * height
    pixels = data[match.end() :]
    if number <= 3:
        if samples > MAX_PLAIN_SAMPLES:
            raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
        pixels = _COMMENT.sub(b"", pixels[: 16 * samples + 2**16])
    bits = 16 if maximum > 255 else 8
    return Header("PPM", pixels, width, height, 1, bits, channels, maximum, netpbm=number)


_COMMENT = re.compile(rb"#[^\r\n]*")
