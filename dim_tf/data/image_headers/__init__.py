"""The headers of image files, read and bounded before any decoder sees the file.

A decoder's memory and time depend on what a header claims, and on the size of the file's structure:
text that unpacks to gigabytes, tiles larger than the image, millions of empty segments. So the
structure of each format is walked here, and the decoder gets only what makes pixels: metadata,
thumbnails, color profiles, later frames and bytes after the end of the image are left out.
"""

import re
import struct
from collections.abc import Callable

from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers import bmp, gif, jpeg, jpeg2000, netpbm, png, tiff, webp
from dim_tf.data.image_headers.header import Header

__all__ = ["FORMATS", "NPY_SIGNATURE", "SIGNATURE_BYTES", "Header", "format_of", "read"]

NPY_SIGNATURE = b"\x93NUMPY"
SIGNATURE_BYTES = 64  # at the beginning of a file, by which its format is recognized
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_UNSUPPORTED_SIGNATURES = (
    b"\xff\x0a",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n",
    b"8BPS",
    b"\x00\x00\x01\x00",
)


def _unchecked(name):
    """AVIF's and HEIC's libraries report the size before they decode, and have their own limits."""
    return lambda data, max_pixels: Header(name, data)


_READERS: dict[str, Callable[[bytes, int], Header]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "WEBP": webp.read,
    "GIF": gif.read,
    "BMP": bmp.read,
    "TIFF": tiff.read,
    "PPM": netpbm.read,
    "JPEG2000": jpeg2000.read,
    "AVIF": _unchecked("AVIF"),
    "HEIF": _unchecked("HEIF"),
}
FORMATS = (*_READERS, "NPY")  # manifests keep their indices: new ones come last


def format_of(beginning: bytes) -> str:
    """The format, by a file's first `SIGNATURE_BYTES` bytes; "" if it is none of `FORMATS`."""
    for signatures, name in (
        ((b"\xff\xd8\xff",), "JPEG"),
        ((b"\x89PNG\r\n\x1a\n",), "PNG"),
        ((NPY_SIGNATURE,), "NPY"),
        ((b"GIF87a", b"GIF89a"), "GIF"),
        ((b"BM",), "BMP"),
        ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
        ((_JP2, b"\xff\x4f\xff\x51"), "JPEG2000"),
    ):
        if beginning.startswith(signatures):
            return name
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "WEBP"
    if beginning[4:8] == b"ftyp":
        # ISO/IEC 14496-12, 4.3: a size, the brand, a version, more brands.
        end = min(int.from_bytes(beginning[:4], "big"), len(beginning))
        brands = {beginning[8:12], *(beginning[i : i + 4] for i in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else ""
    if re.match(rb"P[1-6][\s#]", beginning):
        return "PPM"
    return ""


def read(data: bytes, max_pixels: int) -> Header:
    """Walks a file's structure.

    Args:
        data: The content of the file.
        max_pixels: Images with more pixels are refused. A JPEG, which can be decoded at a reduced
            scale, may have 8 times as many. If a decoder has to hold all coefficients (progressive,
            or one component after the other), there may be 6 times as many of these; and all scans
            together may touch 32 times `max_pixels`.

    Raises:
        UndecodableError: It is none of `FORMATS`, broken, or out of bounds.
    """
    name = format_of(data[:SIGNATURE_BYTES])
    if name not in _READERS:
        unsupported = data.startswith(_UNSUPPORTED_SIGNATURES)
        raise UndecodableError(Fault.UNSUPPORTED_FORMAT if unsupported else Fault.NOT_AN_IMAGE)
    try:
        return _READERS[name](data, max_pixels)
    except (struct.error, IndexError, ZeroDivisionError) as error:  # truncated, or not this format
        raise UndecodableError(Fault.BROKEN) from error
