"""Image files as people have them: looked at, or decoded, one by one. By Pillow, outside graphs."""

import contextlib
import ctypes
import hashlib
import importlib.util
import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from dim_tf.data import image_headers
from dim_tf.data.image_bounds import JPEG_PIXELS, MAX_BYTES, MAX_PIXELS, MAX_SIDE
from dim_tf.data.image_faults import MIN_SIDE, Fault, UndecodableError
from dim_tf.data.image_headers import BEGINNING, FORMATS, Header
from dim_tf.data.pixel_range import ALL_16_BITS, DEPTH, PixelRange
from dim_tf.system.files import open_for_reading

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf"),
    *(".avif", ".heic", ".heif", ".hif"),
)
# What else is taken for an image by its first bytes. Not TIFF, which many a camera's raw format
# begins as, and not those whose beginnings are two letters.
_TOLD_BY_CONTENT = ("JPEG", "PNG", "GIF", "AVIF", "HEIF")
DIGEST_BYTES = 16
# A JPEG may be decoded at 1/2, 1/4 or 1/8, as far as it then is still so many times too large.
_SPARE = 4
_INSPECTED_PIXELS = 2**20  # of a JPEG that is looked at; as many at 1/8 if it is larger than 64
_BAND = 2**17  # pixels that are hashed and counted at a time
# Pillow's modes that have a way to RGB and a known range; beside them "I" of a PNG, of 16 bits.
_MODES = frozenset(
    ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
    + ("I;16", "I;16B", "I;16L", "I;16N")
)
# Opened as what they are, not by `Image.open`: other plugins start programs or fetch fonts, and
# Pillow's own bound of pixels is another than `max_pixels`.
_PLUGINS = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
# libtiff writes of each broken row to stderr, not by way of Pillow. Where it is a library of its
# own (not on Windows) it can be told not to.
with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
_ORIENTATION = 0x0112
_TURNS = {  # Exif 2.3, 4.6.4 A
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Inspected(NamedTuple):
    """What a file turned out to be.

    Attributes:
        fault: why it cannot be used.
        digest: of its bytes; zeros where they were not read.
        width: pixels, as it is shown; 0 where that is not known.
        height: likewise.
        format: its place in `FORMATS`.
        pixel_digest: of the decoded pixels, upright, and their width and height: the same for one
            image in several formats, whether its colours are a palette's, grey or RGB, transparent
            or not. Of a JPEG of more than 2**20 pixels it is that of the image at 1/2, 1/4 or 1/8,
            whichever first has no more. 16 bits are another image than 8.
        bits: of a channel's pixels, 8 or 16; 0 where they were not decoded.
        low: the 0.1th percentile of all channels' pixels, in values of the file (those of a PGM or
            PPM are first scaled so that its own white is that of 8 or 16 bits).
        high: the 99.9th percentile.
    """

    fault: Fault
    digest: bytes = bytes(DIGEST_BYTES)
    width: int = 0
    height: int = 0
    format: int = 0
    pixel_digest: bytes = bytes(DIGEST_BYTES)
    bits: int = 0
    low: int = 0
    high: int = 0


def inspect(path: Path | str, max_pixels: int = MAX_PIXELS) -> Inspected:
    """Reads a file and decodes it, so that what is cut off is found.

    Args:
        path: of the file.
        max_pixels: larger images are refused, JPEGs from 8 times as many on
            (`image_headers.read`).
    """
    digest = bytes(DIGEST_BYTES)
    try:
        octets = _read(path)
        digest = _digest(octets)
        header = image_headers.read(octets, max_pixels)
        del octets
        image, full = _decoded(header, max_pixels, _INSPECTED_PIXELS)
    except UndecodableError as error:
        return Inspected(error.fault, digest)
    except OSError:
        return Inspected(Fault.UNREADABLE)
    fault = Fault.TINY if min(full) < MIN_SIDE else Fault.NONE
    bits, pixel_digest, low, high = _summary(image)
    place = FORMATS.index(header.format)
    return Inspected(fault, digest, *full, place, pixel_digest, bits, low, high)


def decode_to_size(
    path: Path | str,
    size: int,
    pixel_range: PixelRange = ALL_16_BITS,
    *,
    max_pixels: int = MAX_PIXELS,
    digest: bytes | None = None,
) -> np.ndarray:
    """An image upright, its largest centred square resized, as `image_ops.fit` does it.

    Transparency is dropped; of an animation the first picture is taken.

    Args:
        path: of the file.
        size: pixels a side.
        pixel_range: which values of 16 bits become 0 and 255.
        max_pixels: as `inspect`.
        digest: that `inspect` gave, where the file has to be the same still.

    Returns:
        uint8 [size, size, 3].

    Raises:
        UndecodableError: it cannot be decoded, or has changed.
        OSError: it cannot be read.
    """
    octets = _read(path)
    _check_unchanged(octets, digest)
    header = image_headers.read(octets, max_pixels)
    del octets
    image, _ = _decoded(header, max_pixels, side=_SPARE * size)
    square = _rgb(_centred_square(image), pixel_range)
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


def to_png(path: Path | str, *, max_pixels: int = MAX_PIXELS, digest: bytes | None = None) -> bytes:
    """An image upright, as a PNG file of RGB, for what reads no other format.

    Its pixels are those that `decode_to_size` sees, before they are cropped and resized: one of 16
    bits stays so, as the range that becomes 8 bits is the reader's.

    Args:
        path: of the file.
        max_pixels: as `inspect`; a JPEG of more is reduced to 1/2, 1/4 or 1/8.
        digest: as `decode_to_size`.

    Raises:
        UndecodableError: it cannot be decoded, or has changed.
        OSError: it cannot be read.
    """
    octets = _read(path)
    _check_unchanged(octets, digest)
    header = image_headers.read(octets, max_pixels)
    del octets
    image, _ = _decoded(header, max_pixels)
    if isinstance(image, np.ndarray):
        import tensorflow as tf  # Pillow writes 16 bits of grey alone

        return tf.io.encode_png(image, compression=1).numpy()
    encoded = io.BytesIO()
    _rgb(image).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def is_meant(path: Path | str) -> bool:
    """Whether a file is to be an image, by its name or by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    if _has_suffix(path):
        return True
    with open_for_reading(Path(path)) as file:
        return _is_meant(path, file.read(BEGINNING))


def _read(path) -> bytes:
    """Its bytes, if they may be an image's."""
    with open_for_reading(Path(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise UndecodableError(Fault.EMPTY if _has_suffix(path) else Fault.OTHER)
        begin = file.read(BEGINNING)
        if not _is_meant(path, begin):
            raise UndecodableError(Fault.OTHER)
        if size > MAX_BYTES:
            raise UndecodableError(Fault.BYTES)
        file.seek(0)
        return file.read(MAX_BYTES + 1)  # no more, should it grow meanwhile


def _is_meant(path, begin):
    return _has_suffix(path) or image_headers.format_of(begin) in _TOLD_BY_CONTENT


def _has_suffix(path):
    return os.fspath(path).lower().endswith(SUFFIXES)


def _digest(octets):
    return hashlib.blake2b(octets, digest_size=DIGEST_BYTES).digest()


def _check_unchanged(octets, digest):
    if digest is not None and _digest(octets) != bytes(digest):
        raise UndecodableError(Fault.CHANGED)


def _decoded(
    header: Header, max_pixels: int, most: int | None = None, side: int | None = None
) -> tuple[Image.Image | np.ndarray, tuple[int, int]]:
    """The pixels, upright.

    Args:
        header: of the file.
        max_pixels: more are not decoded.
        most: of a JPEG the highest resolution of at most as many pixels is enough; None: the
            highest of at most `max_pixels`.
        side: of a JPEG the lowest resolution of so many pixels a side is enough.

    Returns:
        Pillow's image of 8 bits, or uint16 [H, W, 1 or 3]; width and height of the whole image,
        upright.
    """
    with _told_as_faults():
        image: Image.Image | np.ndarray
        turn, full = header.orientation, (header.width, header.height)
        if header.ppm:
            image = _pixmap(header)
        elif header.planes:
            image = np.stack([_of_16_bits(_load(_open(header, one))) for one in header.planes], -1)
        else:
            opened = _open(header, header.octets)
            full = opened.size
            if (
                max(full) > MAX_SIDE
                or full[0] * full[1] > (JPEG_PIXELS if header.format == "JPEG" else 1) * max_pixels
            ):
                raise UndecodableError(Fault.TOO_LARGE)
            if header.format == "JPEG":
                _reduce(opened, min(most or max_pixels, max_pixels), side)
            if header.format == "AVIF":  # Pillow says its turn by EXIF
                turn = opened.getexif().get(_ORIENTATION, 1)
            if header.bits == 16 and header.channels > 1:
                image = _of_16_bits_and_colours(header, opened)
            else:
                loaded = _load(opened)
                is_16_bits = loaded.mode.startswith("I")
                image = _of_16_bits(loaded)[..., np.newaxis] if is_16_bits else loaded
        if header.inverted:
            image = DEPTH - 1 - image if isinstance(image, np.ndarray) else ImageChops.invert(image)
        return _upright(image, turn), full[::-1] if turn >= 5 else full


@contextlib.contextmanager
def _told_as_faults() -> Iterator[None]:
    """Whatever a broken file makes Pillow's readers raise says that it is broken."""
    # Pillow warns of what is refused here, or left out. Anew each time, as those who call set
    # filters too; not by `warnings.catch_warnings`, which is of all threads.
    if _PILLOWS not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOWS[3].pattern)
    try:
        yield
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:
        raise UndecodableError(_fault_of(error)) from error


_PILLOWS = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)


def _fault_of(error):
    is_unsupported = "unknown pixel mode" in str(error) or "Unsupported" in str(error)
    return Fault.PIXELS if is_unsupported else Fault.BROKEN


def _open(header, octets):
    return _plugin(header.format)(io.BytesIO(octets), "")


def _plugin(name):
    """What opens a format.

    Raises:
        UndecodableError: a package or a codec is missing.
    """
    if name == "HEIF":
        if importlib.util.find_spec("pillow_heif") is None:
            raise UndecodableError(Fault.NO_HEIF)
        from pillow_heif import HeifImageFile

        return HeifImageFile
    if name == "AVIF" and not features.check("avif"):
        raise UndecodableError(Fault.NO_AVIF)
    if name == "JPEG2000" and not features.check("jpg_2000"):
        raise UndecodableError(Fault.NO_JPEG2000)
    return _PLUGINS[name]


def _load(image):
    if image.mode not in _MODES and (image.mode, image.format) != ("I", "PNG"):
        raise UndecodableError(Fault.PIXELS)
    image.load()
    return image


def _reduce(image, most, side):
    """Has a JPEG decoded at a reduced scale (libjpeg's, of its DCT)."""
    width, height = image.size
    scale = 1
    while scale < 8 and (
        -(-width // scale) * -(-height // scale) > most
        or (side is not None and min(width, height) // (2 * scale) >= side)
    ):
        scale *= 2
    if scale > 1:
        image.draft(None, (max(width // scale, 1), max(height // scale, 1)))


def _of_16_bits(image):
    """uint16 [H, W] of a grey image, also where Pillow makes 32 bits of a PNG's."""
    return np.asarray(image).astype(np.uint16)


def _of_16_bits_and_colours(header, image):
    """uint16 [H, W, 1 or 3].

    Pillow takes the upper bytes of several channels alone; told that the bytes are in the other
    order it takes the lower ones.
    """
    if header.format == "PNG" and header.channels == 2:
        # Grey and alpha of 16 bits take four bytes, as RGBA of 8 bits does.
        head = header.octets[12:24] + bytes((8, 6)) + header.octets[26:29]
        octets = header.octets[:12] + head + _crc(head) + header.octets[33:]
        pairs = np.asarray(_load(_open(header, octets)))
        return pairs[..., 0:1].astype(np.uint16) << 8 | pairs[..., 1:2]
    high = np.asarray(_load(image))[..., :3]
    lower = _open(header, header.octets)
    lower.tile = [tile._replace(args=_other_order(tile.args)) for tile in lower.tile]
    low = np.asarray(_load(lower))[..., :3]
    both = high.astype(np.uint16)
    both <<= 8
    both |= low
    return both


def _other_order(args):
    """A decoder's arguments, the first of which, or the only, ends in an order of bytes."""
    if not isinstance(args, str):
        return (_other_order(args[0]), *args[1:])
    native = "B" if np.little_endian else "L"
    return args[:-1] + {"B": "L", "L": "B", "N": native}[args[-1]]


def _crc(chunk):
    return struct.pack(">I", zlib.crc32(chunk))


def _pixmap(header):
    """A PBM, PGM or PPM, most of which Pillow would decode in Python."""
    shape = (header.height, header.width, header.channels)
    count = header.height * header.width * header.channels
    octets = header.octets
    if header.ppm == 1:
        digits = np.frombuffer(octets.translate(None, b" \t\n\v\f\r"), "u1", count)
        pixels = ord("1") - digits  # 1 is black
    elif header.ppm == 4:
        rows = np.frombuffer(octets, "u1", header.height * -(-header.width // 8))
        pixels = 1 - np.unpackbits(rows.reshape(header.height, -1), axis=1)[:, : header.width]
    elif header.ppm in (2, 3):
        pixels = np.fromiter(map(int, octets.split(None, count)[:count]), np.int32, count)
    else:
        pixels = np.frombuffer(octets, ">u2" if header.bits == 16 else "u1", count)
    kind = np.uint16 if header.bits == 16 else np.uint8
    white = np.iinfo(kind).max
    if header.maximum == white:
        pixels = pixels.astype(kind)
    else:
        scaled = np.minimum(np.arange(DEPTH), header.maximum) * white // header.maximum
        pixels = scaled.astype(kind)[pixels]
    pixels = pixels.reshape(shape)
    if header.bits == 16:
        return pixels
    return Image.fromarray(pixels if header.channels == 3 else pixels[..., 0])


def _upright(image, turn):
    if isinstance(image, np.ndarray):
        if turn in (5, 6, 7, 8):
            image = image.swapaxes(0, 1)
        if turn in (2, 3, 6, 7):
            image = image[:, ::-1]
        return image[::-1] if turn in (3, 4, 7, 8) else image
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _centred_square(image):
    """Before colours are converted: of a panorama only what is seen is."""
    width, height = _extent(image)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if isinstance(image, np.ndarray):
        return image[top : top + side, left : left + side]
    if side == width == height:
        return image
    # Not `crop`, which has Pillow's own bound of pixels.
    box = (left, top, left + side, top + side)
    return image.transform((side, side), Image.Transform.EXTENT, box)


def _extent(image):
    return image.shape[1::-1] if isinstance(image, np.ndarray) else image.size


def _rgb(image, pixel_range=ALL_16_BITS):
    if isinstance(image, np.ndarray):
        octets = pixel_range.to_bytes(np.arange(DEPTH, dtype=np.uint16))[image]
        return Image.fromarray(np.broadcast_to(octets, (*octets.shape[:2], 3)))
    return image.convert("RGB")


def _summary(image):
    """Bits, digest of the pixels, and the 0.1th and 99.9th percentiles."""
    width, height = _extent(image)
    is_16_bits = isinstance(image, np.ndarray)
    bits = 16 if is_16_bits else 8
    hashed = hashlib.blake2b(struct.pack("<3Q", bits, width, height), digest_size=DIGEST_BYTES)
    counts = np.zeros(2**bits, np.int64)
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        if is_16_bits:
            band = image[top : top + rows]
            counts += np.bincount(band.ravel(), minlength=2**bits)
            hashed.update(np.broadcast_to(band, (*band.shape[:2], 3)).astype("<u2").tobytes())
        else:
            band = image
            if rows < height:
                band = image.crop((0, top, width, min(top + rows, height)))
            octets = (band if band.mode == "RGB" else band.convert("RGB")).tobytes()
            counts += np.bincount(np.frombuffer(octets, np.uint8), minlength=2**bits)
            hashed.update(octets)
    below = np.cumsum(counts)
    low, high = np.searchsorted(below, [below[-1] * 0.001, below[-1] * 0.999])
    return bits, hashed.digest(), int(low), int(high)
