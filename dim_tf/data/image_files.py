"""Image files as people have them: looked at, or decoded, one by one. By Pillow, outside graphs."""

import enum
import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from dim_tf.data.encoded_images import MAX_BYTES, MAX_PIXELS, MAX_SCANS
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange

# What Pillow may be asked to read; its other formats start programs or fetch fonts.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
# Of files with another suffix: TIFF's is that of many a camera's raw format, BMP's of two letters.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_BEGINNING = 16  # bytes that are read to tell
MIN_SIDE = 8  # pixels; less shows nothing
DIGEST_BYTES = 16
# A JPEG may be decoded at 1/2, 1/4 or 1/8, as far as it then is still so many times too large.
_SPARE = 4
# Pillow's modes that have a way to RGB and a known range; beside them "I" of a PNG, of 16 bits.
_MODES = frozenset(
    ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
    + ("I;16", "I;16B", "I;16L", "I;16N")
)
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
# Pillow warns of what is refused here, or allowed.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Fault(enum.IntEnum):
    """Why a file is no image to learn from. The numbers are kept in manifests."""

    NONE = 0
    OTHER = 1  # by its name and its first bytes no image: not asked for
    UNREADABLE = 2
    EMPTY = 3
    NOT_AN_IMAGE = 4
    BROKEN = 5
    TOO_LARGE = 6
    PIXELS = 7
    TINY = 8
    CHANGED = 9  # never in a manifest

    @property
    def told(self) -> str:
        """In words."""
        return _TOLD[self]

    @property
    def is_bad(self) -> bool:
        """Whether the file should have been an image and cannot be used as one."""
        return Fault.UNREADABLE <= self <= Fault.PIXELS


_TOLD = {
    Fault.NONE: "",
    Fault.OTHER: "another kind of file",
    Fault.UNREADABLE: "cannot be opened",
    Fault.EMPTY: "empty file",
    Fault.NOT_AN_IMAGE: "not an image",
    Fault.BROKEN: "broken or cut off",
    Fault.TOO_LARGE: f"too large: more than {MAX_PIXELS:,} pixels or {MAX_BYTES:,} bytes",
    Fault.PIXELS: "pixels of a kind that is not supported, as of 32 bits",
    Fault.TINY: f"tiny: less than {MIN_SIDE} pixels high or wide",
    Fault.CHANGED: "other content than when it was looked at",
}


class Inspected(NamedTuple):
    """What a file turned out to be.

    Attributes:
        fault: why it cannot be used.
        digest: of its bytes; zeros where they were not read.
        width: pixels, as it is shown; 0 where that is not known.
        height: likewise.
        format: its place in `FORMATS`.
        pixel_digest: of the decoded pixels, upright: the same for one image in several formats.
        bits: of a channel's pixels, 8 or 16; 0 where they were not decoded.
        low: the 0.1th percentile of all channels' pixels, in values of the file.
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


class UndecodableError(Exception):
    """A file cannot be used, for `fault`."""

    def __init__(self, fault: Fault):
        super().__init__(fault.told)
        self.fault = fault


def inspect(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Inspected:
    """Reads a file and decodes it, so that what is cut off is found."""
    digest = bytes(DIGEST_BYTES)
    try:
        octets = _read(path)
        digest = hashlib.blake2b(octets, digest_size=DIGEST_BYTES).digest()
        image = _opened(octets)
        if image.width * image.height > max_pixels:
            raise UndecodableError(Fault.TOO_LARGE)
        kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: several JPEGs
        full = image.size
        image = _loaded(image, 1)
    except UndecodableError as error:
        return Inspected(error.fault, digest)
    except OSError:
        return Inspected(Fault.UNREADABLE)
    if kind == "TIFF":  # which Pillow turns as it loads it
        full = image.size
    if _orientation(image) >= 5:
        full = full[::-1]
    fault = Fault.TINY if min(full) < MIN_SIDE else Fault.NONE
    image = _upright(image)
    bits = 16 if image.mode.startswith("I") else 8
    values = np.asarray(image if bits == 16 else image.convert("RGB"))
    low, high = np.percentile(values, (0.1, 99.9)).astype(int).tolist()
    shape = f"{bits} {image.width} {image.height} ".encode()
    pixels = shape + values.astype(np.int32).tobytes()
    pixel_digest = hashlib.blake2b(pixels, digest_size=DIGEST_BYTES).digest()
    place = FORMATS.index(kind)
    return Inspected(fault, digest, full[0], full[1], place, pixel_digest, bits, low, high)


def decode_to_size(
    path: Path | str,
    size: int,
    *,
    pixel_range: PixelRange = ALL_16_BITS,
    digest: bytes | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """An image upright, its largest centred square resized, as `image_ops.fit` does it.

    Transparency is dropped; of 16 bits the upper 8 are kept; of an animation the first picture.

    Args:
        path: of the file.
        size: pixels a side.

    Returns:
        uint8 [size, size, 3].

    Raises:
        UndecodableError: it cannot be decoded.
        OSError: it cannot be read.
    """
    octets = _read(path)
    if digest is not None and hashlib.blake2b(octets, digest_size=DIGEST_BYTES).digest() != digest:
        raise UndecodableError(Fault.CHANGED)
    image = _upright(_loaded(_opened(octets), _SPARE * size))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    # Colours after the crop: of a panorama only what is seen is converted.
    if square.mode.startswith("I"):
        values = np.asarray(square).astype(np.int64).clip(0, 65535).astype(np.uint16)
        square = Image.fromarray(pixel_range.to_bytes(values))
    return np.asarray(_rgb(square).resize((size, size), Image.Resampling.BILINEAR))


def to_png(path: Path | str) -> bytes:
    """An image upright, as a PNG file of RGB, for what reads no other format.

    Its pixels are those that `decode_to_size` sees, before they are cropped and resized.

    Args:
        path: of the file.

    Raises:
        UndecodableError: it cannot be decoded.
        OSError: it cannot be read.
    """
    opened = _opened(_read(path))
    octets = io.BytesIO()
    _rgb(_upright(_loaded(opened, max(opened.size)))).save(octets, "PNG", compress_level=1)
    return octets.getvalue()


def _read(path) -> bytes:
    """Its bytes, if they may be an image's."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise UndecodableError(Fault.EMPTY if _has_suffix(path) else Fault.OTHER)
        begin = file.read(_BEGINNING)
        if not _is_meant(path, begin):
            raise UndecodableError(Fault.OTHER)
        if size > MAX_BYTES:
            raise UndecodableError(Fault.TOO_LARGE)
        return begin + file.read(MAX_BYTES)  # no more, should it grow meanwhile


def is_meant(path: Path | str) -> bool:
    """Whether a file is to be an image, by its name or by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    if _has_suffix(path):
        return True
    with open(path, "rb") as file:
        return _is_meant(path, file.read(_BEGINNING))


def _is_meant(path, begin):
    return _has_suffix(path) or begin.startswith(_BEGINNINGS)


def _has_suffix(path):
    return os.fspath(path).lower().endswith(SUFFIXES)


def _opened(octets):
    """The image with its header read, and its pixels not."""
    try:
        image = Image.open(io.BytesIO(octets), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UndecodableError(Fault.NOT_AN_IMAGE) from error
    except Image.DecompressionBombError as error:
        raise UndecodableError(Fault.TOO_LARGE) from error
    except Exception as error:  # Pillow passes on whatever a broken header makes its readers raise
        raise UndecodableError(Fault.BROKEN) from error
    scans = octets.count(b"\xff\xda") if octets.startswith(b"\xff\xd8") else 0
    if image.width * image.height > MAX_PIXELS or scans > MAX_SCANS:
        raise UndecodableError(Fault.TOO_LARGE)
    return image


def _loaded(image, side):
    """The image with its pixels, of a JPEG at the lowest resolution with `side` pixels a side."""
    if image.mode not in _MODES and (image.mode, image.format) != ("I", "PNG"):
        raise UndecodableError(Fault.PIXELS)
    try:
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (side, side))
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise UndecodableError(Fault.BROKEN) from error
    return image


def _orientation(image):
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # a broken EXIF block says nothing; the pixels are whole
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def _upright(image):
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _rgb(image):
    if image.mode.startswith("I"):  # 16 bits, also where Pillow makes 32 of a PNG's
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype("u1"))
    return image.convert("RGB")
