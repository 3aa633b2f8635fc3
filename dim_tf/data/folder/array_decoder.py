"""Reads images whose values are numbers and not shades: .npy files and TIFFs of such pixels.

They have any number of channels. A TIFF counts as one of them if Pillow would lose part of it:
floating-point values, more than four channels, or several pages of 16 bits or floats, which are
channels. All other TIFFs are pictures (`pillow_decoder`).
"""

import io

import numpy as np
import tifffile

from dim_tf.data import npy
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers import NPY_SIGNATURE, format_of, tiff
from dim_tf.data.image_headers.header import check_pixels

MAX_CHANNELS = 99
# Values that become float32: with more bits some would be rounded, such as those of counters.
_DTYPES = ("u1", "u2", "f2", "f4", "f8")
_MAX_VALUES = 4  # of all channels together, in multiples of the maximum of pixels


def is_array(data: bytes) -> bool:
    """Whether a file is read here; a broken file may be either.

    Args:
        data: The content of the file.
    """
    if data.startswith(NPY_SIGNATURE):
        return True
    return format_of(data[:64]) == "TIFF" and tiff.holds_array(data, MAX_CHANNELS)


def decode_array(data: bytes, max_pixels: int) -> np.ndarray:
    """The values of an image as they are stored; the orientation of a TIFF is not applied.

    Args:
        data: The content of a file for which `is_array` is true.
        max_pixels: Images with more pixels are not decoded, nor images with more than four times
            as many values in all channels together.

    Returns:
        uint8, uint16 or float32 [H, W, C].

    Raises:
        UndecodableError: It cannot be decoded, or has values that are not finite.
    """
    values = _read_npy(data) if data.startswith(NPY_SIGNATURE) else _read_tiff(data, max_pixels)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    height, width, channels = values.shape
    _check_size(height, width, channels, max_pixels)
    _check_dtype(values.dtype)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise UndecodableError(Fault.NOT_FINITE)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _check_size(height, width, channels, max_pixels):
    check_pixels(width, height, max_pixels)
    if height * width * channels > _MAX_VALUES * max_pixels:
        raise UndecodableError(Fault.TOO_MANY_PIXELS)
    if not 1 <= channels <= MAX_CHANNELS:
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)


def _check_dtype(dtype):
    if dtype.str[1:] not in _DTYPES:
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)


def _read_npy(data):
    try:
        values = npy.read_array(data)
    except ValueError as error:
        raise UndecodableError(Fault.BROKEN) from error
    if values.ndim not in (2, 3):
        raise UndecodableError(Fault.OTHER)
    return values


def _read_tiff(data, max_pixels):
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            count = tiff.count_pages(data, MAX_CHANNELS)
            first = file.pages.first
            _check_size(
                first.imagelength, first.imagewidth, first.samplesperpixel * count, max_pixels
            )
            _check_dtype(first.dtype or np.dtype(object))
            planes = [
                _channels_last(first, file.pages[number].asarray(maxworkers=1))
                for number in range(count)
            ]
            return np.concatenate(planes, axis=-1)
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:  # for a broken file, tifffile raises errors of any type
        needs_codec = "imagecodecs" in str(error)
        fault = Fault.NO_IMAGECODECS if needs_codec else Fault.BROKEN
        raise UndecodableError(fault) from error


def _channels_last(page, values):
    """The values of a page, or of something like it, as [H, W, C]."""
    if values.ndim == 2:
        return values[..., np.newaxis]
    is_planar = values.shape[1:] == (page.imagelength, page.imagewidth)
    return np.moveaxis(values, 0, -1) if is_planar and page.planarconfig == 2 else values
