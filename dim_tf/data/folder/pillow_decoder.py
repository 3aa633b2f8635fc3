"""Decodes an image whose header was checked, by Pillow: upright, with 8 or 16 bits."""

import contextlib
import ctypes
import importlib.util
import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator

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

from dim_tf.data.image_bounds import JPEG_OVERSAMPLING, JPEG_PIXELS, MAX_SIDE
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.image_headers import Header
from dim_tf.data.pixel_range import DEPTH

# Pillow's modes that convert to RGB and have a known range; also "I" of a 16-bit PNG.
_MODES = frozenset(
    ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
    + ("I;16", "I;16B", "I;16L", "I;16N")
)
# Not `Image.open`: other plugins start programs or fetch fonts, and Pillow's own limit of pixels
# differs from `max_pixels`.
_IMAGE_CLASSES = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
# libtiff itself reports each broken row on stderr. If it is a shared library (not on Windows), that
# can be turned off.
with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
_ORIENTATION = 0x0112
_TRANSPOSES = {  # Exif 2.3, 4.6.4 A
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_upright(
    header: Header,
    max_pixels: int,
    preview_pixels: int | None = None,
    frame: ImageFrame | None = None,
) -> tuple[Image.Image | np.ndarray, tuple[int, int]]:
    """The pixels of an image, upright.

    Args:
        header: Header of the file.
        max_pixels: Images with more pixels are not decoded.
        preview_pixels: A JPEG is decoded at its highest resolution with at most this many pixels;
            None: with at most `max_pixels`.
        frame: A JPEG is decoded at its lowest resolution that has `JPEG_OVERSAMPLING` times the
            frame's pixels a side; None: at its highest.

    Returns:
        Pillow's image of 8 bits, or uint16 [H, W, 1 or 3]; and width and height of the whole
        upright image.
    """
    with _errors_as_faults():
        image: Image.Image | np.ndarray
        orientation, full_size = header.orientation, (header.width, header.height)
        if header.netpbm:
            image = _decode_netpbm(header)
        elif header.planes:
            image = np.stack(
                [_gray_of_16_bits(_load(_open(header, plane))) for plane in header.planes], -1
            )
        else:
            opened = _open(header, header.data)
            full_size = opened.size
            if (
                max(full_size) > MAX_SIDE
                or full_size[0] * full_size[1]
                > (JPEG_PIXELS if header.format == "JPEG" else 1) * max_pixels
            ):
                raise UndecodableError(Fault.TOO_MANY_PIXELS)
            if header.format == "JPEG":
                most_pixels = min(preview_pixels or max_pixels, max_pixels)
                _reduce(opened, most_pixels, frame, turned=orientation >= 5)
            if header.format == "AVIF":  # Pillow reports its orientation as EXIF
                orientation = opened.getexif().get(_ORIENTATION, 1)
            if header.bits == 16 and header.channels > 1:
                image = _channels_of_16_bits(header, opened)
            else:
                loaded = _load(opened)
                is_16_bits = loaded.mode.startswith("I")
                image = _gray_of_16_bits(loaded)[..., np.newaxis] if is_16_bits else loaded
        if header.inverted:
            image = DEPTH - 1 - image if isinstance(image, np.ndarray) else ImageChops.invert(image)
        return _upright(image, orientation), full_size[::-1] if orientation >= 5 else full_size


@contextlib.contextmanager
def _errors_as_faults() -> Iterator[None]:
    """Turns whatever a broken file makes Pillow raise into `UndecodableError`."""
    # Pillow warns of things that are refused here or left out. The filter becomes the first one
    # each time, because callers set filters too; `warnings.catch_warnings` is not thread-safe.
    if warnings.filters[:1] != [_PILLOW_WARNINGS]:
        warnings.filterwarnings("ignore", module=_PILLOW_WARNINGS[3].pattern)
    try:
        yield
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:
        raise UndecodableError(_fault_of(error)) from error


_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\b"), 0)


def _fault_of(error):
    is_unsupported = "unknown pixel mode" in str(error) or "Unsupported" in str(error)
    return Fault.UNSUPPORTED_PIXELS if is_unsupported else Fault.BROKEN


def _open(header, data):
    return _image_class(header.format)(io.BytesIO(data), "")


def _image_class(format_name):
    """Pillow's image class for a format.

    Raises:
        UndecodableError: A package or a codec is missing.
    """
    if format_name == "HEIF":
        if importlib.util.find_spec("pillow_heif") is None:
            raise UndecodableError(Fault.NO_HEIF)
        from pillow_heif import HeifImageFile

        return HeifImageFile
    if format_name == "AVIF" and not features.check("avif"):
        raise UndecodableError(Fault.NO_AVIF)
    if format_name == "JPEG2000" and not features.check("jpg_2000"):
        raise UndecodableError(Fault.NO_JPEG2000)
    return _IMAGE_CLASSES[format_name]


def _load(image):
    if image.mode not in _MODES and (image.mode, image.format) != ("I", "PNG"):
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)
    image.load()
    return image


def _reduce(image, max_pixels, frame, turned):
    """Makes Pillow decode a JPEG at a reduced scale (libjpeg's, in its DCT)."""
    width, height = image.size
    fitted = frame and frame.fitted(*((width, height) if turned else (height, width)))

    def has_enough(scale):
        return all(
            side // scale >= JPEG_OVERSAMPLING * resized
            for side, resized in zip(fitted.window, fitted.resized, strict=True)
        )

    scale = 1
    while scale < 8 and (
        -(-width // scale) * -(-height // scale) > max_pixels
        or (fitted is not None and has_enough(2 * scale))
    ):
        scale *= 2
    if scale > 1:
        image.draft(None, (max(width // scale, 1), max(height // scale, 1)))


def _gray_of_16_bits(image):
    """uint16 [H, W] of a gray image, even if Pillow decodes a PNG to 32 bits."""
    return np.asarray(image).astype(np.uint16)


def _channels_of_16_bits(header, image):
    """uint16 [H, W, 1 or 3].

    For several channels Pillow takes only the upper bytes; with the byte order swapped it takes the
    lower ones.
    """
    if header.format == "PNG" and header.channels == 2:
        # 16-bit gray and alpha take four bytes, like 8-bit RGBA.
        ihdr = header.data[12:24] + bytes((8, 6)) + header.data[26:29]
        data = header.data[:12] + ihdr + _crc(ihdr) + header.data[33:]
        pairs = np.asarray(_load(_open(header, data)))
        return pairs[..., 0:1].astype(np.uint16) << 8 | pairs[..., 1:2]
    high = np.asarray(_load(image))[..., :3]
    lower = _open(header, header.data)
    lower.tile = [tile._replace(args=_swap_byte_order(tile.args)) for tile in lower.tile]
    low = np.asarray(_load(lower))[..., :3]
    pixels = high.astype(np.uint16)
    pixels <<= 8
    pixels |= low
    return pixels


def _swap_byte_order(args):
    """The arguments of a decoder, the first or only one of which ends in the byte order."""
    if not isinstance(args, str):
        return (_swap_byte_order(args[0]), *args[1:])
    native = "B" if np.little_endian else "L"
    return args[:-1] + {"B": "L", "L": "B", "N": native}[args[-1]]


def _crc(chunk):
    return struct.pack(">I", zlib.crc32(chunk))


def _decode_netpbm(header):
    """A PBM, PGM or PPM, most of which Pillow would decode in Python."""
    shape = (header.height, header.width, header.channels)
    count = header.height * header.width * header.channels
    data = header.data
    if header.netpbm == 1:
        digits = np.frombuffer(data.translate(None, b" \t\n\v\f\r"), "u1", count)
        pixels = ord("1") - digits  # 1 is black
    elif header.netpbm == 4:
        rows = np.frombuffer(data, "u1", header.height * -(-header.width // 8))
        pixels = 1 - np.unpackbits(rows.reshape(header.height, -1), axis=1)[:, : header.width]
    elif header.netpbm in (2, 3):
        pixels = np.fromiter(map(int, data.split(None, count)[:count]), np.int32, count)
    else:
        pixels = np.frombuffer(data, ">u2" if header.bits == 16 else "u1", count)
    dtype = np.uint16 if header.bits == 16 else np.uint8
    white = np.iinfo(dtype).max
    if header.maximum == white:
        pixels = pixels.astype(dtype)
    else:
        scaled = np.minimum(np.arange(DEPTH), header.maximum) * white // header.maximum
        pixels = scaled.astype(dtype)[pixels]
    pixels = pixels.reshape(shape)
    if header.bits == 16:
        return pixels
    return Image.fromarray(pixels if header.channels == 3 else pixels[..., 0])


def _upright(image, orientation):
    if isinstance(image, np.ndarray):
        if orientation in (5, 6, 7, 8):
            image = image.swapaxes(0, 1)
        if orientation in (2, 3, 6, 7):
            image = image[:, ::-1]
        return image[::-1] if orientation in (3, 4, 7, 8) else image
    return image.transpose(_TRANSPOSES[orientation]) if orientation in _TRANSPOSES else image


def channels_of(image: Image.Image | np.ndarray) -> int:
    """1 if an image is stored in shades of grey, else 3; transparency does not count."""
    if isinstance(image, np.ndarray):
        return image.shape[-1]
    return 1 if image.mode in ("1", "L", "LA") else 3


def size_of(image: Image.Image | np.ndarray) -> tuple[int, int]:
    """Width and height."""
    return image.shape[1::-1] if isinstance(image, np.ndarray) else image.size
