"""Inspects one image file: whether it can be decoded, its size and digests, its range of values."""

import hashlib
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dim_tf.data import image_headers
from dim_tf.data.folder.array_decoder import decode_array, is_array
from dim_tf.data.folder.file_bytes import DIGEST_BYTES, digest_of, read_image_file
from dim_tf.data.folder.perceptual_hash import HASH_BYTES, THUMBNAIL_BYTES, hash_and_thumbnail
from dim_tf.data.folder.pillow_decoder import channels_of, decode_upright, size_of
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.data.image_faults import MIN_SIDE, Fault, UndecodableError
from dim_tf.data.image_headers import FORMATS, SIGNATURE_BYTES

_INSPECTED_PIXELS = 2**20  # of an inspected JPEG; a JPEG larger than 64 times that has more at 1/8
ARRAY_BITS = 32  # in which its values are kept, as floating-point numbers
_BAND_PIXELS = 2**17  # pixels that are hashed and counted at a time


class InspectedFile(NamedTuple):
    """The result of inspecting a file.

    Attributes:
        fault: Why it cannot be used.
        digest: Digest of its bytes; zeros if they were not read.
        width: Width of the upright image in pixels; 0 if unknown.
        height: Height of the upright image in pixels; 0 if unknown.
        format: Its index in `FORMATS`.
        pixel_digest: Digest of the decoded pixels, upright, and their width and height. It is the
            same for one image in several formats, whether its colors are a palette's, gray or RGB,
            transparent or not. For a JPEG with more than 2**20 pixels it is that of the image at
            the largest of 1/2, 1/4 and 1/8 that has no more. A 16-bit image differs from its 8-bit
            copy.
        channels: 1 if it is stored in shades of grey, else 3; for an array, its own number; 0 if
            the pixels were not decoded.
        bits: Bits per channel, 8 or 16; `ARRAY_BITS` for an array; 0 if the pixels were not
            decoded.
        low: The 0.1th percentile of the pixels of all channels, in values of the file (those of a
            PGM or PPM are first scaled so that its own white is that of 8 or 16 bits); 0 for an
            array.
        high: The 99.9th percentile; for an array 255, or 0 if all its values are the same.
        hash: `perceptual_hash.hash_and_thumbnail` of the pixels that are hashed.
        thumbnail: The thumbnail from the same call; a 16-bit image has `low` black and `high`
            white; an array has its first channels, with its smallest value black and its largest
            white.
    """

    fault: Fault
    digest: bytes = bytes(DIGEST_BYTES)
    width: int = 0
    height: int = 0
    format: int = 0
    pixel_digest: bytes = bytes(DIGEST_BYTES)
    channels: int = 0
    bits: int = 0
    low: int = 0
    high: int = 0
    hash: bytes = bytes(HASH_BYTES)
    thumbnail: bytes = bytes(THUMBNAIL_BYTES)


def inspect_file(path: Path | str, max_pixels: int = MAX_PIXELS) -> InspectedFile:
    """Reads and decodes a file, so that truncated files are found.

    Args:
        path: Path of the file.
        max_pixels: Larger images are refused, JPEGs only from 8 times as many pixels on
            (`image_headers.read`).
    """
    digest = bytes(DIGEST_BYTES)
    try:
        data = read_image_file(path)
        digest = digest_of(data)
        if is_array(data):
            return _inspect_array(data, digest, max_pixels)
        header = image_headers.read(data, max_pixels)
        del data
        image, full_size = decode_upright(header, max_pixels, _INSPECTED_PIXELS)
    except UndecodableError as error:
        return InspectedFile(error.fault, digest)
    except OSError:
        return InspectedFile(Fault.UNREADABLE)
    fault = Fault.TINY if min(full_size) < MIN_SIDE else Fault.NONE
    bits, pixel_digest, low, high = _pixel_statistics(image)
    format_index = FORMATS.index(header.format)
    hash, thumbnail = hash_and_thumbnail(image, low, high)
    return InspectedFile(
        fault,
        digest,
        *full_size,
        format_index,
        pixel_digest,
        channels_of(image),
        bits,
        low,
        high,
        hash,
        thumbnail,
    )


def _inspect_array(data, digest, max_pixels):
    values = decode_array(data, max_pixels)
    height, width, channels = values.shape
    content = hashlib.blake2b(
        struct.pack("<3Q", *values.shape) + values.dtype.name.encode(), digest_size=DIGEST_BYTES
    )
    content.update(np.ascontiguousarray(values).tobytes())
    least, largest = float(values.min()), float(values.max())
    shown = values[..., : 3 if channels >= 3 else 1].astype(np.float64) - least
    hash, thumbnail = hash_and_thumbnail(shown * (255 / ((largest - least) or 1)), 0, 255)
    return InspectedFile(
        Fault.TINY if min(height, width) < MIN_SIDE else Fault.NONE,
        digest,
        width,
        height,
        FORMATS.index(image_headers.format_of(data[:SIGNATURE_BYTES])),
        content.digest(),
        channels,
        ARRAY_BITS,
        0,
        255 if least < largest else 0,
        hash,
        thumbnail,
    )


def _pixel_statistics(image):
    """Bits, digest of the pixels, and the 0.1th and 99.9th percentiles."""
    width, height = size_of(image)
    is_16_bits = isinstance(image, np.ndarray)
    bits = 16 if is_16_bits else 8
    digest = hashlib.blake2b(struct.pack("<3Q", bits, width, height), digest_size=DIGEST_BYTES)
    counts = np.zeros(2**bits, np.int64)
    rows = max(_BAND_PIXELS // width, 1)
    for top in range(0, height, rows):
        if is_16_bits:
            band = image[top : top + rows]
            counts += np.bincount(band.ravel(), minlength=2**bits)
            digest.update(np.broadcast_to(band, (*band.shape[:2], 3)).astype("<u2").tobytes())
        else:
            band = image
            if rows < height:
                band = image.crop((0, top, width, min(top + rows, height)))
            rgb = band if band.mode == "RGB" else band.convert("RGB")
            counts += np.reshape(rgb.histogram(), (3, 256)).sum(axis=0)
            digest.update(rgb.tobytes())
    cumulative = np.cumsum(counts)
    low, high = np.searchsorted(cumulative, [cumulative[-1] * 0.001, cumulative[-1] * 0.999])
    return bits, digest.digest(), int(low), int(high)
