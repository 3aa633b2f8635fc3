"""Decodes image files one by one, by Pillow and outside graphs, just as exported models do."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dim_tf.data import image_headers, npy
from dim_tf.data.folder.array_decoder import decode_array, is_array
from dim_tf.data.folder.file_bytes import read_image_file
from dim_tf.data.folder.pillow_decoder import decode_upright, size_of
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import ALL_16_BITS, DEPTH, PixelRange


def decode_to_size(
    path: Path | str,
    frame: ImageFrame,
    pixel_range: PixelRange = ALL_16_BITS,
    *,
    max_pixels: int = MAX_PIXELS,
    expected_digest: bytes | None = None,
) -> np.ndarray:
    """An image, upright and fitted as by `image_ops.fit_image`.

    Transparency is dropped; the first frame of an animation is taken.

    Args:
        path: Path of the file.
        frame: What the image becomes.
        pixel_range: Which 16-bit values become 0 and 255.
        max_pixels: As for `inspection.inspect_file`.
        expected_digest: Digest of the file when it was inspected; None: any content.

    Returns:
        uint8 [H, W, C] in the frame's size.

    Raises:
        UndecodableError: It cannot be decoded, or has changed.
        OSError: It cannot be read.
    """
    header = _read_header(path, max_pixels, expected_digest)
    image, _ = decode_upright(header, max_pixels, frame=frame)
    width, height = size_of(image)
    window, (rows, columns) = frame.fitted(height, width)
    part = _to_rgb(_center(image, *window), pixel_range)
    if frame.channels == 1:
        part = part.convert("L")
    pixels = np.asarray(part.resize((columns, rows), Image.Resampling.BILINEAR))
    pixels = pixels.reshape(rows, columns, frame.channels)
    above, left = (frame.height - rows) // 2, (frame.width - columns) // 2
    margins = (above, frame.height - rows - above), (left, frame.width - columns - left)
    return np.pad(pixels, (*margins, (0, 0)), mode="edge")


def decode_array_to_size(
    path: Path | str,
    frame: ImageFrame,
    *,
    max_pixels: int = MAX_PIXELS,
    expected_digest: bytes | None = None,
) -> np.ndarray:
    """An array from a file, fitted by `image_ops.fit_image`, in its own values.

    Args:
        path: Path of a file for which `array_decoder.is_array` is true.
        frame: What the image becomes.
        max_pixels: As for `inspection.inspect_file`.
        expected_digest: As for `decode_to_size`.

    Returns:
        float32 [H, W, C] in the frame's size.

    Raises:
        UndecodableError: It cannot be decoded, has other channels, or has changed.
        OSError: It cannot be read.
    """
    # Pillow would resize floating-point numbers differently from a graph.
    from dim_tf.data import image_ops

    values = decode_array(read_image_file(path, expected_digest), max_pixels)
    if values.shape[-1] != frame.channels:
        raise UndecodableError(Fault.OTHER_KIND)
    return image_ops.fit_image(values, frame).numpy()


def to_served(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """An image as a file of the kind that an exported encoder takes: PNG, or .npy for an array.

    Args:
        path: Path of the file.
        max_pixels: As for `to_png`.

    Raises:
        UndecodableError: It cannot be decoded.
        OSError: It cannot be read.
    """
    data = read_image_file(path)
    if not is_array(data):
        return to_png(path, max_pixels=max_pixels)
    return npy.to_bytes(decode_array(data, max_pixels))


def to_png(
    path: Path | str, *, max_pixels: int = MAX_PIXELS, expected_digest: bytes | None = None
) -> bytes:
    """An upright image as a PNG file in RGB, for readers of no other format.

    Its pixels are those that `decode_to_size` crops and resizes. A 16-bit image keeps its 16 bits,
    because the reader chooses the range that becomes 8 bits.

    Args:
        path: Path of the file.
        max_pixels: As for `inspection.inspect_file`; a JPEG with more is reduced to 1/2, 1/4 or
            1/8.
        expected_digest: As for `decode_to_size`.

    Raises:
        UndecodableError: It cannot be decoded, or has changed.
        OSError: It cannot be read.
    """
    header = _read_header(path, max_pixels, expected_digest)
    image, _ = decode_upright(header, max_pixels)
    if isinstance(image, np.ndarray):
        import tensorflow as tf  # Pillow writes 16 bits only in gray

        return tf.io.encode_png(image, compression=1).numpy()
    encoded = io.BytesIO()
    _to_rgb(image).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def decode_preview(
    path: Path | str, *, max_pixels: int = MAX_PIXELS, preview_pixels: int = 2**18
) -> np.ndarray:
    """An upright image for people to look at; 16 bits and arrays are scaled to their extremes.

    Args:
        path: Path of the file.
        max_pixels: As for `inspection.inspect_file`.
        preview_pixels: A JPEG with more pixels is reduced to 1/2, 1/4 or 1/8.

    Returns:
        uint8 [H, W, 3]; for an array that does not have three channels, the first channel.

    Raises:
        UndecodableError: It cannot be decoded.
        OSError: It cannot be read.
    """
    data = read_image_file(path)
    if is_array(data):
        values = decode_array(data, max_pixels).astype(np.float32)
        values = values if values.shape[-1] == 3 else values[..., :1]
        low, high = values.min(), values.max()
        pixels = np.rint((values - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()
    header = image_headers.read(data, max_pixels)
    image, _ = decode_upright(header, max_pixels, preview_pixels)
    extremes = ALL_16_BITS
    if isinstance(image, np.ndarray):
        low = int(image.min())
        extremes = PixelRange(low, max(int(image.max()), low + 1))
    return np.asarray(_to_rgb(image, extremes))


def upright_size(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width of an image, upright, in pixels of the file.

    Args:
        path: Path of the file.
        max_pixels: As for `inspection.inspect_file`.

    Raises:
        UndecodableError: It cannot be decoded.
        OSError: It cannot be read.
    """
    data = read_image_file(path)
    if is_array(data):
        height, width = decode_array(data, max_pixels).shape[:2]
        return height, width
    header = image_headers.read(data, max_pixels)
    width, height = decode_upright(header, max_pixels, preview_pixels=1)[1]
    return height, width


def _read_header(path, max_pixels, expected_digest):
    """The header, which has all that the decoder needs; the bytes of the file are freed here."""
    return image_headers.read(read_image_file(path, expected_digest), max_pixels)


def _center(image, rows, columns):
    """Crops before colors are converted, so that only the visible part of a panorama is."""
    width, height = size_of(image)
    left, top = (width - columns) // 2, (height - rows) // 2
    if isinstance(image, np.ndarray):
        return image[top : top + rows, left : left + columns]
    if (rows, columns) == (height, width):
        return image
    # Not `crop`, which has Pillow's own limit of pixels.
    box = (left, top, left + columns, top + rows)
    return image.transform((columns, rows), Image.Transform.EXTENT, box)


def _to_rgb(image, pixel_range=ALL_16_BITS):
    if isinstance(image, np.ndarray):
        pixels = pixel_range.to_uint8(np.arange(DEPTH, dtype=np.uint16))[image]
        return Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    return image if image.mode == "RGB" else image.convert("RGB")
