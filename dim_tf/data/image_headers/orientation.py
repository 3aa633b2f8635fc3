"""The orientation of an image, from its EXIF or XMP."""

import re
import struct

from dim_tf.data.image_headers.header import MAX_XMP


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """The orientation of an image, 1 to 8 (Exif 2.3, 4.6.4 A).

    The result is the first of these that says 1 to 8; if none does, 1:

    1. EXIF: in its first directory, the first entry with tag 0x0112 and type SHORT. EXIF is the
       first APP1 segment of a JPEG that starts with "Exif" and two zeros, the first eXIf chunk of a
       PNG, the EXIF chunk of a WebP (in both with or without such a start), or the TIFF itself.
    2. XMP: the first `tiff:Orientation="N"` (or with ', or an element `tiff:Orientation>N<`) in the
       first MAX_XMP bytes. XMP is the first APP1 segment of a JPEG that starts with
       "http://ns.adobe.com/xap/1.0/" and a zero, the first iTXt chunk of a PNG with the keyword
       XML:com.adobe.xmp that is not compressed (XMP part 3, 1.1.5, allows no other; a compressed
       one is ignored), the XMP chunk of a WebP, or tag 700 of a TIFF.

    AVIF and HEIC have their own transformations, which their decoders apply.
    `dim_tf.data.graph_headers.orientation` has the same rule in graphs
    (tests/dim_tf/data/test_orientation.py compares).
    https://developer.adobe.com/xmp/docs/XMPSpecifications/

    Args:
        exif: A TIFF structure; empty if there is none.
        xmp: An XMP packet; empty if there is none.
    """
    value = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
    if value:
        return value
    match = _XMP_ORIENTATION.search(xmp[:MAX_XMP])
    return int(match[1]) if match and match[1] in b"12345678" else 1


_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)(\d)[\"'<]")


def _exif_orientation(tiff):
    """1 to 8; 0 if there is none, or an invalid one."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 10:
        return 0
    (offset,) = struct.unpack_from(order + "I", tiff, 4)
    if offset + 2 > len(tiff):
        return 0
    (count,) = struct.unpack_from(order + "H", tiff, offset)
    count = min(count, (len(tiff) - offset - 2) // 12)
    entries = memoryview(tiff)[offset + 2 : offset + 2 + 12 * count]
    for tag, value_type, _, value, _ in struct.iter_unpack(order + "HHIHH", entries):
        if tag == 0x0112 and value_type == 3:
            return value if 1 <= value <= 8 else 0
    return 0
