"""The headers of image files, read and bounded before any decoder sees the file.

A decoder's memory and time follow from what a header claims, and from how much there is of it: text
that unpacks to gigabytes, tiles that are larger than the image, millions of empty segments. So each
format's structure is walked here, and the decoder is given what makes pixels and nothing else:
metadata, thumbnails, colour profiles, later frames and bytes behind the image's end are left out.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dim_tf.data.image_bounds import (
    JPEG_COEFFICIENTS,
    JPEG_PASSES,
    JPEG_PIXELS,
    MAX_SCANS,
    MAX_SIDE,
)
from dim_tf.data.image_faults import Fault, UndecodableError

# The places are kept in manifests.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"),
    *("PPM", "JPEG2000", "AVIF", "HEIF"),
)
BEGINNING = 64  # bytes of a file that tell its format
MAX_SEGMENTS = 1024  # of a JPEG; 64 MiB of extended XMP are as many
# A PNG's, a WebP's: libpng writes 8 KiB of pixels into each, so 2**28 bytes are 2**15.
MAX_CHUNKS = 2**17
MAX_BLOCKS = 2**21  # of 255 bytes, in which a GIF keeps its pixels
MAX_STRIPS = 2**17  # or tiles of 16 x 16 pixels, the smallest, of 2**25
MAX_XMP = 2**20  # bytes that are searched for an orientation
# Of what is decoded in Python: as much as takes about a second.
MAX_RLE_BYTES = 2**20
MAX_PLAIN_SAMPLES = 2**21
# A tile may be larger than a small image is, but not by more than this.
_TILE_PIXELS = 2**24
_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_AVIF_BRANDS = frozenset((b"avif", b"avis"))
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_OTHER_IMAGES = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n", b"8BPS", b"\x00\x00\x01\x00")


class Header(NamedTuple):
    """What is known of an image before it is decoded.

    Attributes:
        format: of `FORMATS`.
        octets: the file as its decoder is to see it; of a PBM, PGM or PPM the pixels alone.
        width: pixels, as stored; 0 where the decoder tells it before it decodes.
        height: likewise.
        orientation: as `orientation` has it.
        bits: 16 if a channel's pixels have 16 bits and the file may use any part of their range.
        channels: of a PNG, TIFF, PBM, PGM or PPM.
        maximum: the value of white in a PGM or PPM, of black in a PBM; else 0.
        inverted: whether the pixels, as a decoder gives them, have to be inverted.
        ppm: which of P1 to P6 it is; else 0.
        planes: of a TIFF that keeps its channels of 16 bits apart, each as a TIFF.
    """

    format: str
    octets: bytes
    width: int = 0
    height: int = 0
    orientation: int = 1
    bits: int = 8
    channels: int = 0
    maximum: int = 0
    inverted: bool = False
    ppm: int = 0
    planes: tuple[bytes, ...] = ()


def format_of(begin: bytes) -> str:
    """The format that a file's first `BEGINNING` bytes tell; "" if none of `FORMATS`."""
    for beginnings, name in (
        ((b"\xff\xd8\xff",), "JPEG"),
        ((b"\x89PNG\r\n\x1a\n",), "PNG"),
        ((b"GIF87a", b"GIF89a"), "GIF"),
        ((b"BM",), "BMP"),
        ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
        ((_JP2, b"\xff\x4f\xff\x51"), "JPEG2000"),
    ):
        if begin.startswith(beginnings):
            return name
    if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP":
        return "WEBP"
    if begin[4:8] == b"ftyp":  # ISO/IEC 14496-12, 4.3: a size, the brand, a version, more brands
        end = min(int.from_bytes(begin[:4], "big"), len(begin))
        brands = {begin[8:12], *(begin[place : place + 4] for place in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else ""
    if re.match(rb"P[1-6][\s#]", begin):
        return "PPM"
    return ""


def read(octets: bytes, max_pixels: int) -> Header:
    """Walks a file's structure.

    Args:
        octets: the file.
        max_pixels: more are refused. Of a JPEG, which is decoded at a reduced scale, 8 times as
            many are allowed, or where a decoder has to hold all coefficients (progressive, or one
            component after the other) 6 times as many of these; and all scans together may touch
            32 times `max_pixels`.

    Raises:
        UndecodableError: it is none of `FORMATS`, broken, or out of bounds.
    """
    name = format_of(octets[:BEGINNING])
    if not name:
        other = octets.startswith(_OTHER_IMAGES)
        raise UndecodableError(Fault.FORMAT if other else Fault.NOT_AN_IMAGE)
    try:
        return _READERS[name](octets, max_pixels)
    except (struct.error, IndexError, ZeroDivisionError) as error:  # it ends too early, or is none
        raise UndecodableError(Fault.BROKEN) from error


def orientation(exif: bytes, xmp: bytes) -> int:
    """How an image is to be turned, 1 to 8 (Exif 2.3, 4.6.4 A).

    The first of these that says 1 to 8; if none does, 1:

    1. EXIF: in its first directory the first entry of tag 0x0112 and type SHORT. EXIF is a JPEG's
       first APP1 segment that begins with "Exif" and two zeros, a PNG's first eXIf chunk, a WebP's
       EXIF chunk (in both with or without such a beginning), or the TIFF itself.
    2. XMP: the first `tiff:Orientation="N"` (or with ', or an element `tiff:Orientation>N<`) in
       the first MAX_XMP bytes. XMP is a JPEG's first APP1 segment that begins with
       "http://ns.adobe.com/xap/1.0/" and a zero, a PNG's first iTXt chunk with the keyword
       XML:com.adobe.xmp that is not compressed (XMP part 3, 1.1.5, allows no other; a compressed
       one is ignored), a WebP's XMP chunk, or a TIFF's tag 700.

    AVIF and HEIC are turned by their decoders, as these formats have turns of their own. In graphs
    `dim_tf.data.orientation` has the same rule; tests/dim_tf/data/test_orientation.py compares.
    https://developer.adobe.com/xmp/docs/XMPSpecifications/

    Args:
        exif: a TIFF structure; empty if there is none.
        xmp: likewise.
    """
    value = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
    if value:
        return value
    match = _XMP_ORIENTATION.search(xmp[:MAX_XMP])
    return int(match[1]) if match and match[1] in b"12345678" else 1


_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)(\d)[\"'<]")


def _exif_orientation(tiff):
    """1 to 8; 0 where it says nothing, or something else."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 10:
        return 0
    (place,) = struct.unpack_from(order + "I", tiff, 4)
    if place + 2 > len(tiff):
        return 0
    (count,) = struct.unpack_from(order + "H", tiff, place)
    count = min(count, (len(tiff) - place - 2) // 12)
    entries = memoryview(tiff)[place + 2 : place + 2 + 12 * count]
    for tag, kind, _, value, _ in struct.iter_unpack(order + "HHIHH", entries):
        if tag == 0x0112 and kind == 3:
            return value if 1 <= value <= 8 else 0
    return 0


def _check_pixels(width, height, max_pixels):
    if width <= 0 or height <= 0:
        raise UndecodableError(Fault.BROKEN)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise UndecodableError(Fault.TOO_LARGE)


# JPEG: ITU-T T.81, annex B.

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
# Frames; tables of Huffman and arithmetic codes and of quantization, the restart interval, lines.
_DECODED_SEGMENTS = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
_STANDALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD8)))
_FILL = re.compile(rb"\xff+")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_XAP = b"http://ns.adobe.com/xap/1.0/\0"
# Which bytes behind 0xFF end the pixels' code.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_IS_MARKER = np.ones(256, bool)
_IS_MARKER[[0x00, *range(0xD0, 0xD8), 0xFF]] = False


def _jpeg(octets, max_pixels):
    view = memoryview(octets)
    kept: list[bytes | memoryview] = [view[:2]]
    exif: bytes | None = None
    xmp: bytes | None = None
    size: _JpegSize | None = None
    progressive, samples, is_adobes = False, 0, False
    place, segments, scans = 2, 0, 0
    while True:
        place = octets.find(b"\xff", place)
        if place < 0:
            break
        place = _end_of_fill(octets, place)
        if place >= len(octets):
            break
        marker = octets[place]
        place += 1
        if marker in _STANDALONE:
            continue
        if marker == _EOI:
            kept.append(b"\xff\xd9")
            break
        if marker == _SOI:
            raise UndecodableError(Fault.BROKEN)
        segments += 1
        if segments > MAX_SEGMENTS:
            raise UndecodableError(Fault.HEADER)
        if place + 2 > len(octets):
            break
        (length,) = struct.unpack_from(">H", octets, place)
        if length < 2:
            raise UndecodableError(Fault.BROKEN)
        segment = view[place + 2 : place + length]
        is_kept = marker in _DECODED_SEGMENTS
        if marker in _FRAMES:
            if size is not None:
                raise UndecodableError(Fault.BROKEN)
            size = _jpeg_frame(segment, max_pixels)
            samples = sum(size.samples)
            progressive = marker in _PROGRESSIVE
        elif marker == 0xE0:
            is_kept = segment[:4] == b"JFIF"
        elif marker == 0xEE:
            is_kept = segment[:5] == b"Adobe"
            is_adobes = is_adobes or (is_kept and len(segment) >= 12)
        elif marker == 0xE1 and not scans and exif is None and segment[:6] == b"Exif\0\0":
            exif = bytes(segment)
        elif marker == 0xE1 and not scans and xmp is None and segment[: len(_XAP)] == _XAP:
            xmp = bytes(segment[len(_XAP) :])
        elif marker == _SOS:
            if size is None or not segment:
                raise UndecodableError(Fault.BROKEN)
            scans += 1
            if scans == 1:
                _check_jpeg_memory(size, progressive or segment[0] < len(size.samples), max_pixels)
            if scans > MAX_SCANS:
                raise UndecodableError(Fault.HEADER)
            if scans * size.width * size.height > JPEG_PASSES * max_pixels:
                raise UndecodableError(Fault.TOO_LARGE)
            is_kept = True
        if is_kept:
            kept += [bytes((0xFF, marker)), view[place : place + length]]
        place += length
        if marker == _SOS:
            end = _end_of_scan(view, place)
            # The longest Huffman codes take 27 bits a sample; arithmetic ones are shorter.
            if end - place > 4 * samples + 2**20:
                raise UndecodableError(Fault.HEADER)
            kept.append(view[place:end])
            place = end
    if not scans or size is None:
        raise UndecodableError(Fault.BROKEN)
    turn = orientation(exif or b"", xmp or b"")
    header = Header("JPEG", b"".join(kept), size.width, size.height, turn)
    # Adobe stores CMYK inverted, and Pillow takes all of it to be so.
    return header._replace(inverted=len(size.samples) == 4 and not is_adobes)


def _end_of_fill(octets, place):
    """Behind 0xFF, of which there may be any number before a marker (B.1.1.2)."""
    fill = _FILL.match(octets, place)
    return fill.end() if fill else place


class _JpegSize(NamedTuple):
    width: int
    height: int
    samples: tuple[int, ...]  # of each component, whole blocks of 8 x 8


def _jpeg_frame(segment, max_pixels):
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    if bits != 8 or components not in (1, 3, 4):
        raise UndecodableError(Fault.PIXELS)
    _check_pixels(width, height, JPEG_PIXELS * max_pixels)
    factors = [divmod(segment[7 + 3 * index], 16) for index in range(components)]
    across, down = (max(factor[axis] for factor in factors) for axis in (0, 1))
    samples = tuple(
        64 * -(-width * right // (8 * across)) * -(-height * below // (8 * down))
        for right, below in factors
    )
    return _JpegSize(width, height, samples)


def _check_jpeg_memory(size, is_held, max_pixels):
    """Of a JPEG whose components come one after the other, all coefficients are held at once.

    They are counted as they are stored: of halved colours (4:2:0) 1.5 for each pixel.
    `encoded_images` counts one for each component of each pixel, and so refuses some that pass.
    """
    if is_held and sum(size.samples) > JPEG_COEFFICIENTS * max_pixels:
        raise UndecodableError(Fault.TOO_LARGE)


def _end_of_scan(view, place):
    """Where the next marker is, or the file's end."""
    match = _MARKER.search(view, place, place + 2**16)
    if match:
        return match.start()
    # A large image's, or a hostile one's, on which the expression would take seconds.
    place = max(place, min(place + 2**16, len(view)) - 1)
    while place < len(view):
        block = np.frombuffer(view[place : place + 2**20], np.uint8)
        ends = np.flatnonzero((block[:-1] == 0xFF) & _IS_MARKER[block[1:]])
        if len(ends):
            return place + int(ends[0])
        place += max(len(block) - 1, 1)  # a marker may stand across two blocks
    return len(view)


# PNG: https://www.w3.org/TR/png-3/


_PNG_XMP = b"XML:com.adobe.xmp\0\0"  # the keyword, and that the text is not compressed


def _png(octets, max_pixels):
    if octets[8:16] != b"\0\0\0\rIHDR":
        raise UndecodableError(Fault.BROKEN)
    width, height, bits, colour = struct.unpack_from(">IIBB", octets, 16)
    _check_pixels(width, height, max_pixels)
    view = memoryview(octets)
    kept = [view[:33]]
    exif: bytes | None = None
    xmp: bytes | None = None
    critical = 0
    for place, kind, length in _chunks(octets, 33, ">I4s", 4):
        chunk = view[place : place + 12 + length]
        content = chunk[8 : 8 + length]
        if kind == b"eXIf":
            exif = bytes(content[: 2**16]) if exif is None else exif
        elif kind == b"iTXt" and content[: len(_PNG_XMP)] == _PNG_XMP:
            xmp = bytes(content[:MAX_XMP]) if xmp is None else xmp
        elif kind in (b"IDAT", b"IEND"):
            kept.append(chunk)
        elif not kind[0] & 0x20:  # any other that a decoder has to know
            critical += 1
            if critical > 8 or length > 768:  # bytes of the largest palette
                raise UndecodableError(Fault.HEADER if critical > 8 else Fault.BROKEN)
            kept.append(chunk)
        if kind == b"IEND":
            break
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    turn = orientation(exif or b"", xmp or b"")
    return Header("PNG", b"".join(kept), width, height, turn, 16 if bits == 16 else 8, channels)


def _chunks(octets, place, layout, trailing) -> Iterator[tuple[int, bytes, int]]:
    """Place, name and length of each chunk; the last may be longer than what is left."""
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(octets):
            return
        first, second = struct.unpack_from(layout, octets, place)
        kind, length = (second, first) if layout == ">I4s" else (first, second)
        yield place, kind, length
        place += 8 + length + (trailing or length % 2)
    raise UndecodableError(Fault.HEADER)


# WebP: RFC 9649.


def _webp(octets, max_pixels):
    end = min(8 + int.from_bytes(octets[4:8], "little"), len(octets))
    octets = octets[:end]
    exif = xmp = b""
    canvas = animation = image = None
    flags = 0
    for place, kind, length in _chunks(octets, 12, "<4sI", 0):
        content = octets[place + 8 : place + 8 + min(length, MAX_XMP)]
        if kind == b"VP8X" and canvas is None:
            flags = content[0]
            canvas = tuple(_little(content[at : at + 3]) + 1 for at in (4, 7))
        elif kind == b"ANIM":
            animation = octets[place : place + 8 + length]
        elif kind in (b"VP8 ", b"VP8L", b"ANMF") and image is None:
            image = octets[place : place + 8 + length + length % 2]
            if kind == b"ANMF":
                size = tuple(_little(content[at : at + 3]) + 1 for at in (6, 9))
                inner = [one for one in _chunks(image, 24, "<4sI", 0) if one[1] != b"ALPH"]
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
    _check_pixels(width, height, max_pixels)
    _check_pixels(size[0], size[1], max_pixels)
    before = b""
    if is_animated:  # only so is the first picture drawn at its place
        content = struct.pack("<4sI", b"VP8X", 10) + bytes((flags & 0x12, 0, 0, 0))
        before = content + _three(width - 1) + _three(height - 1) + animation
    # What is declared, so that a file that was cut off stays so.
    head = b"RIFF" + struct.pack("<I", 4 + len(before) + declared) + b"WEBP"
    turn = orientation(exif, xmp)
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


# GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt


def _gif(octets, max_pixels):
    width, height, flags = struct.unpack_from("<HHB", octets, 6)
    place = 13 + _colours(flags)
    head, control = octets[:place], b""
    for _ in range(MAX_SEGMENTS):
        kind = octets[place]
        if kind == 0x21:
            end = _end_of_blocks(octets, place + 2)
            if octets[place + 1] == 0xF9 and end - place == 8:
                control = octets[place:end]  # of the picture that follows
            place = end
        elif kind == 0x2C:
            left, top, across, down, flags = struct.unpack_from("<HHHHB", octets, place + 1)
            width, height = max(width, left + across), max(height, top + down)
            _check_pixels(width, height, max_pixels)
            end = _end_of_blocks(octets, place + 11 + _colours(flags))
            return Header("GIF", head + control + octets[place:end] + b";", width, height)
        else:
            raise UndecodableError(Fault.BROKEN)
    raise UndecodableError(Fault.HEADER)


def _colours(flags):
    return 6 << (flags & 7) if flags & 0x80 else 0


def _end_of_blocks(octets, place):
    for _ in range(MAX_BLOCKS):
        length = octets[place]
        place += 1 + length
        if not length:
            return place
    raise UndecodableError(Fault.HEADER)


# BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage


def _bmp(octets, max_pixels):
    (size,) = struct.unpack_from("<I", octets, 14)
    compression = 0
    if size == 12:
        width, height = struct.unpack_from("<HH", octets, 18)
    else:
        width, height, _, _, compression = struct.unpack_from("<iiHHI", octets, 18)
    _check_pixels(width, abs(height), max_pixels)
    if compression in (1, 2) and (len(octets) > MAX_RLE_BYTES or width > 2**15):
        raise UndecodableError(Fault.HEADER)  # Pillow decodes run lengths in Python
    if compression in (4, 5):  # a JPEG or PNG, for printers
        raise UndecodableError(Fault.FORMAT)
    return Header("BMP", octets, width, abs(height))


# TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf; BigTIFF,
# http://bigtiff.org

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_JPEG_IN_TIFF = (6, 7)  # values of _COMPRESSION
_SAMPLE_FORMAT, _EXTRA, _COLOUR_MAP, _JPEG_TABLES, _XMP = 339, 338, 320, 347, 700
# How many values an entry may have of the tags that make pixels; all other tags are left out.
_TIFF_VALUES = {
    **dict.fromkeys((_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES), MAX_STRIPS),
    **dict.fromkeys((_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR), 1),
    **dict.fromkeys((_TILE_WIDTH, _TILE_HEIGHT), 1),
    **dict.fromkeys((266, 292, 293, 317, 332, 334, 512, 513, 514, 515, 531), 1),
    **dict.fromkeys((_BITS, _SAMPLE_FORMAT, _EXTRA, 517, 518, 519, 520, 521, 529, 530, 532), 16),
    **{_COLOUR_MAP: 3 * 2**16, _JPEG_TABLES: 2**16},
}
_TIFF_TYPES = {
    **{1: "B", 2: "B", 3: "H", 4: "I", 5: "Q", 6: "B", 7: "B", 8: "H", 9: "I", 10: "Q"},
    **{11: "I", 12: "Q", 13: "I", 16: "Q", 17: "Q", 18: "Q"},
}
_PREDICTOR, _INTEGERS = 317, (1, 3, 4, 13, 16)


class _Tiff:
    """The entries of a TIFF's first directory that make pixels."""

    def __init__(self, octets: bytes):
        self.octets = octets
        self.order = "<" if octets[:2] == b"II" else ">"
        self.is_big = octets[2:4] in (b"+\0", b"\0+")
        # A directory's length, an entry, an offset.
        self.layouts = ("Q", "HHQ8s", "Q", 8) if self.is_big else ("H", "HHI4s", "I", 4)
        length, entry, offset, self.inline = self.layouts
        (place,) = self._unpack(offset, 8 if self.is_big else 4)
        (count,) = self._unpack(length, place)
        begin, size = place + struct.calcsize("<" + length), struct.calcsize("<" + entry)
        if count > 2**12:
            raise UndecodableError(Fault.HEADER)
        if begin + count * size > len(octets):
            raise UndecodableError(Fault.BROKEN)
        self.entries: dict[int, tuple[int, int, bytes]] = {}
        self.turn, self.xmp = 0, b""
        for index in range(count):
            tag, kind, values, field = self._unpack(entry, begin + index * size)
            if kind not in _TIFF_TYPES or tag in self.entries:
                continue
            if tag == _ORIENTATION and kind == 3 and not self.turn:
                (self.turn,) = struct.unpack_from(self.order + "H", field)
            elif tag == _XMP and not self.xmp:
                self.xmp = self._content(kind, min(values, MAX_XMP), field)
            elif tag in _TIFF_VALUES:
                if values > _TIFF_VALUES[tag]:
                    raise UndecodableError(Fault.HEADER)
                self.entries[tag] = kind, values, self._content(kind, values, field)

    def _unpack(self, layout, place):
        return struct.unpack_from(self.order + layout, self.octets, place)

    def _content(self, kind, values, field):
        size = values * struct.calcsize("<" + _TIFF_TYPES[kind])
        if size <= self.inline:
            return field[:size]
        (place,) = struct.unpack(self.order + self.layouts[2], field)
        content = self.octets[place : place + size]
        if len(content) < size:
            raise UndecodableError(Fault.BROKEN)
        return content

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """An entry's whole numbers."""
        if tag not in self.entries:
            return default
        kind, values, content = self.entries[tag]
        if kind not in _INTEGERS:
            raise UndecodableError(Fault.BROKEN)
        return struct.unpack(f"{self.order}{values}{_TIFF_TYPES[kind]}", content)

    def value(self, tag: int, default: int = 0) -> int:
        """An entry's only whole number, or the first."""
        return self.values(tag, (default,))[0]

    def written(self, changes: dict[int, tuple[int, ...]]) -> bytes:
        """The file with another directory, of these entries, behind its end."""
        length, entry, offset, inline = self.layouts
        entries = dict(self.entries)
        for tag, numbers in changes.items():
            kind = 16 if self.is_big else 4
            packed = struct.pack(f"{self.order}{len(numbers)}{_TIFF_TYPES[kind]}", *numbers)
            entries[tag] = kind, len(numbers), packed
        first = len(self.octets) + len(self.octets) % 2
        head = self.octets[: 8 if self.is_big else 4] + struct.pack(self.order + offset, first)
        directory = struct.pack(self.order + length, len(entries))
        place = first + len(directory) + len(entries) * struct.calcsize("<" + entry) + inline
        contents = []
        for tag, (kind, values, content) in sorted(entries.items()):
            field = content.ljust(inline, b"\0")
            if len(content) > inline:
                field = struct.pack(self.order + offset, place)
                contents.append(content + bytes(len(content) % 2))
                place += len(contents[-1])
            directory += struct.pack(self.order + entry, tag, kind, values, field)
        end = struct.pack(self.order + offset, 0)  # no other directory
        fill = bytes(first - len(self.octets))
        return b"".join((head, self.octets[len(head) :], fill, directory, end, *contents))


def _tiff(octets, max_pixels):
    tiff = _Tiff(octets)
    width, height = tiff.value(_WIDTH), tiff.value(_HEIGHT)
    _check_pixels(width, height, max_pixels)
    samples = tiff.value(_SAMPLES, 1)
    bits = tiff.values(_BITS, (1,))
    is_planar = tiff.value(_PLANAR, 1) == 2
    if not 1 <= samples <= 8:
        raise UndecodableError(Fault.PIXELS)
    if _TILE_WIDTH in tiff.entries:
        across, down = tiff.value(_TILE_WIDTH), tiff.value(_TILE_HEIGHT)
        columns, rows = -(-width // across), -(-height // down)
        if columns * rows * across * down > max(_TILE_PIXELS, 4 * width * height):
            raise UndecodableError(Fault.HEADER)
        offsets, counts = _TILES, _TILE_BYTES
    else:
        columns, rows = 1, -(-height // min(tiff.value(_ROWS, height), height))
        offsets, counts = _STRIPS, _STRIP_BYTES
    pieces = columns * rows
    if len(tiff.values(offsets)) > pieces * (samples if is_planar else 1):
        raise UndecodableError(Fault.HEADER)  # Pillow would decode each
    if tiff.value(_COMPRESSION, 1) in _JPEG_IN_TIFF:
        _check_jpegs_in_tiff(octets, tiff.values(offsets), tiff.values(counts))
    xmp = b"" if 1 <= tiff.turn <= 8 else tiff.xmp
    turn = tiff.turn if 1 <= tiff.turn <= 8 else orientation(b"", xmp)
    photometric = tiff.value(_PHOTOMETRIC)
    is_16_bits = set(bits) == {16} and set(tiff.values(_SAMPLE_FORMAT, (1,))) == {1}
    header = Header("TIFF", b"", width, height, turn, channels=samples)
    if is_16_bits and samples == 1 and photometric in (0, 1):
        written = tiff.written({_PHOTOMETRIC: (1,)})  # Pillow takes 0 for black in both
        return header._replace(octets=written, bits=16, inverted=photometric == 0)
    if is_16_bits and photometric == 2 and samples in (3, 4):
        if is_planar:  # of which Pillow takes the upper 8 bits, or bytes for pixels
            return header._replace(bits=16, planes=_planes(tiff, pieces, offsets, counts))
        has_premultiplied = tiff.value(_EXTRA, 2) == 1
        return header._replace(octets=tiff.written({}), bits=8 if has_premultiplied else 16)
    if is_planar and max(bits) > 8:
        raise UndecodableError(Fault.PIXELS)
    return header._replace(octets=tiff.written({}))


def _check_jpegs_in_tiff(octets, places, lengths):
    """Strips or tiles that are JPEGs: each once, with few scans more than one each."""
    if len(set(places)) < len(places) or sum(lengths) > 2 * len(octets):
        raise UndecodableError(Fault.HEADER)
    if octets.count(b"\xff\xda") > len(places) + MAX_SCANS:
        raise UndecodableError(Fault.HEADER)


def _planes(tiff, pieces, offsets, counts):
    """The first three channels, each as a grey image of its own."""
    places, lengths = tiff.values(offsets), tiff.values(counts)
    if len(places) < 3 * pieces or len(lengths) < 3 * pieces:
        raise UndecodableError(Fault.BROKEN)
    tiff.entries = {
        tag: entry for tag, entry in tiff.entries.items() if tag not in (_EXTRA, _SAMPLE_FORMAT)
    }
    changes = {_PHOTOMETRIC: (1,), _SAMPLES: (1,), _BITS: (16,), _PLANAR: (1,)}
    return tuple(
        tiff.written(
            {
                **changes,
                offsets: places[first : first + pieces],
                counts: lengths[first : first + pieces],
            }
        )
        for first in (0, pieces, 2 * pieces)
    )


# PBM, PGM, PPM: https://netpbm.sourceforge.net/doc/ppm.html

_BETWEEN = rb"(?:\s|#[^\r\n]*[\r\n])+"
_BITMAP = re.compile(rb"P[14]" + 2 * (_BETWEEN + rb"(\d{1,10})") + rb"\s")
_PIXMAP = re.compile(rb"P[2356]" + 3 * (_BETWEEN + rb"(\d{1,10})") + rb"\s")


def _ppm(octets, max_pixels):
    kind = octets[1] - ord("0")
    match = (_BITMAP if kind in (1, 4) else _PIXMAP).match(octets[: 2**12])
    if not match:
        raise UndecodableError(Fault.BROKEN)
    width, height, *rest = map(int, match.groups())
    maximum = rest[0] if rest else 1
    _check_pixels(width, height, max_pixels)
    if not 1 <= maximum < 2**16:
        raise UndecodableError(Fault.BROKEN)
    channels = 3 if kind in (3, 6) else 1
    samples = channels * width * height
    pixels = octets[match.end() :]
    if kind <= 3:
        if samples > MAX_PLAIN_SAMPLES:
            raise UndecodableError(Fault.HEADER)
        pixels = _COMMENT.sub(b"", pixels[: 16 * samples + 2**16])
    bits = 16 if maximum > 255 else 8
    return Header("PPM", pixels, width, height, 1, bits, channels, maximum, ppm=kind)


_COMMENT = re.compile(rb"#[^\r\n]*")


# JPEG 2000: ITU-T T.800, annexes A and I.

_SOC_SIZ = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD = 0xFF52, 0xFF53, 0xFF90, 0xFF93
_MAX_TILES, _MAX_LAYERS = 2**12, 256
_MAX_CODE_BLOCKS = 2**19  # 2**25 pixels in three components and blocks of 16 x 16 are fewer


def _jpeg2000(octets, max_pixels):
    place = 0 if octets.startswith(_SOC_SIZ) else _codestream(octets, 0, len(octets))
    if octets[place : place + 4] != _SOC_SIZ:
        raise UndecodableError(Fault.BROKEN)
    right, bottom, left, top = struct.unpack_from(">4I", octets, place + 8)
    tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">4I", octets, place + 24)
    (components,) = struct.unpack_from(">H", octets, place + 40)
    width, height = right - left, bottom - top
    _check_pixels(width, height, max_pixels)
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    if not 1 <= components <= 4:
        raise UndecodableError(Fault.PIXELS)
    if not 1 <= tiles <= _MAX_TILES:
        raise UndecodableError(Fault.HEADER)
    place, segments, tile_end = place + 2, 0, 0
    while place + 4 <= len(octets):
        marker, length = struct.unpack_from(">HH", octets, place)
        segments += 1
        if segments > 16 * MAX_SEGMENTS:
            raise UndecodableError(Fault.HEADER)
        if marker == _SOT:
            (size,) = struct.unpack_from(">I", octets, place + 6)
            tile_end = place + size if size else len(octets)
        elif marker == _SOD:
            if tile_end <= place:
                raise UndecodableError(Fault.BROKEN)
            place = tile_end
            continue
        elif marker in (_COD, _COC):
            # Style; of COC after the component's number, of COD before 4 bytes for all components.
            at = place + 4 + (marker == _COC)
            if marker == _COD and struct.unpack_from(">H", octets, at + 2)[0] > _MAX_LAYERS:
                raise UndecodableError(Fault.HEADER)
            parameters = octets[at + 1 + 4 * (marker == _COD) : place + 2 + length]
            _check_blocks(octets[at], parameters, width, height, components)
        elif marker < 0xFF00 or length < 2:
            break  # the end, or what the decoder will refuse
        place += 2 + length
    return Header("JPEG2000", octets, width, height)


def _codestream(octets, place, end, depth=0):
    """Where the codestream begins; boxes are a length, a name and a content."""
    for _ in range(MAX_SEGMENTS):
        if place + 8 > end:
            break
        length, kind = struct.unpack_from(">I4s", octets, place)
        begin = place + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", octets, begin)
            begin += 8
        if kind == b"jp2c":
            return begin
        if length < begin - place:
            raise UndecodableError(Fault.BROKEN)
        if kind == b"jp2h" and not depth:
            _codestream(octets, begin, min(place + length, end), 1)
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


# AVIF and HEIC: their libraries have bounds of their own, and tell the size before they decode.


def _avif(octets, max_pixels):
    return Header("AVIF", octets)


def _heif(octets, max_pixels):
    return Header("HEIF", octets)


_READERS = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
    "PPM": _ppm,
    "JPEG2000": _jpeg2000,
    "AVIF": _avif,
    "HEIF": _heif,
}
