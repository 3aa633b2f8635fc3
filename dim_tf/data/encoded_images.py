"""Decodes encoded images inside a graph, including hostile ones.

An image from outside may be truncated, may not be an image, or may claim billions of pixels. So its
header is read first: files that are not JPEG or PNG, or are too large, are refused before memory is
allocated. A decoder then sees only the parts of the file that make pixels.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.graph_headers import byte_string, jpeg, orientation, png
from dim_tf.data.graph_headers.jpeg import is_jpeg
from dim_tf.data.graph_headers.png import is_png
from dim_tf.data.image_bounds import (
    JPEG_COEFFICIENTS,
    JPEG_OVERSAMPLING,
    JPEG_PASSES,
    JPEG_PIXELS,
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SCANS,
    MAX_SIDE,
)
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import ALL_16_BITS, DEPTH, PixelRange

_RATIOS = (1, 2, 4, 8)
Decode = Callable[[tf.Tensor], tf.Tensor]
_BLOCK = 2**22  # values of 16 bits that are mapped at a time


def decode(
    encoded: tf.Tensor,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = ALL_16_BITS,
    frame: ImageFrame | None = None,
) -> tf.Tensor:
    """The pixels of an encoded image, upright.

    Reads JPEG (grayscale, RGB, CMYK; the first image of several, or of a film) and PNG (any bit
    depth and color type; alpha is dropped). Both are turned by the orientation in EXIF, or else in
    XMP (`orientation.choose`). A JPEG with more than `max_pixels` is decoded at 1/2, 1/4 or 1/8,
    which libjpeg does without computing all pixels: up to 8 times as many pixels. If a decoder has
    to hold all coefficients (progressive, several scans), the limit is twice as many pixels for
    three channels, and 6 times as many for one.

    Args:
        encoded: string scalar, the file.
        max_pixels: Largest number of pixels of the decoded image; a PNG with more is refused.
        pixel_range: The values of a 16-bit PNG that become 0 and 255.
        frame: A JPEG is decoded at the lowest of these resolutions that still has
            `JPEG_OVERSAMPLING` times the frame's pixels a side; None: at the highest.

    Returns:
        uint8 [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: The file is not JPEG or PNG, broken, truncated or too large.
    """
    file_bytes = byte_string.length(encoded)
    with tf.control_dependencies(
        [
            _assert(
                is_jpeg(encoded) | is_png(encoded),
                ["an image is not JPEG or PNG; its bytes:", file_bytes],
            ),
            _assert(
                file_bytes <= MAX_BYTES,
                ["an image has", file_bytes, "bytes; allowed:", MAX_BYTES],
            ),
        ]
    ):
        encoded = tf.identity(encoded)
    image, stored_orientation = tf.cond(
        is_jpeg(encoded),
        lambda: _decode_jpeg(encoded, max_pixels, frame),
        lambda: _decode_png(encoded, max_pixels, pixel_range),
    )
    return orientation.apply_orientation(
        tf.ensure_shape(image, [None, None, 3]), stored_orientation
    )


def _decode_jpeg(encoded, max_pixels, frame):
    """The pixels as they are stored, and the orientation."""
    header = jpeg.read(encoded, MAX_SCANS)
    pixels = header.size[0] * header.size[1]
    # Like libjpeg: each side is rounded up.
    sides = -(-header.size[:, tf.newaxis] // tf.constant(_RATIOS, tf.int64))
    held = tf.where(header.is_buffered, header.components * pixels, 0)
    is_bounded = (pixels <= JPEG_PIXELS * max_pixels) & (held <= JPEG_COEFFICIENTS * max_pixels)
    fits = (sides[0] * sides[1] <= max_pixels) & is_bounded
    max_scans = tf.minimum(JPEG_PASSES * max_pixels // tf.maximum(pixels, 1), MAX_SCANS)
    checks = [
        _assert(header.is_walked, ["a JPEG has more segments than", jpeg.MAX_STEPS]),
        _sizes_are_allowed(header.size, tf.reduce_any(fits), max_pixels),
        _assert(
            header.scans <= max_scans, ["a JPEG has", header.scans, "scans; allowed:", max_scans]
        ),
    ]
    with tf.control_dependencies(checks):
        content = tf.identity(header.content)
    branches = [
        # The cosine transform that Pillow's libjpeg uses, so that the pixels are those of training.
        lambda ratio=ratio: tf.io.decode_jpeg(
            content, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )
        for ratio in _RATIOS
    ]
    index = tf.argmax(fits, output_type=tf.int32)
    if frame is not None:
        index = tf.maximum(index, _lowest_ratio(header, frame))
    return tf.switch_case(index, branches), header.orientation


def _lowest_ratio(header, frame):
    """The index of the last of `_RATIOS` that leaves enough pixels for the frame."""
    upright = tf.where(header.orientation >= 5, header.size[::-1], header.size)
    size = tf.maximum(upright, 1)  # one of 0 is refused
    window, resized = frame.fitted(size[0], size[1], tf.minimum, tf.maximum)
    needed = JPEG_OVERSAMPLING * tf.cast(tf.stack(resized), tf.int64)
    remaining = tf.stack(window)[:, tf.newaxis] // tf.constant(_RATIOS[1:], tf.int64)
    enough = tf.reduce_all(remaining >= needed[:, tf.newaxis], axis=0)
    return tf.reduce_sum(tf.cast(enough, tf.int32))


def _decode_png(encoded, max_pixels, pixel_range):
    """Like `_decode_jpeg`, for a PNG."""
    header = png.read(encoded)
    fits = (header.size[0] * header.size[1] <= max_pixels) & tf.reduce_all(header.size <= MAX_SIDE)
    # Incompressible pixels grow by less than a thousandth. Data beyond the last pixel would still
    # be inflated, to up to a thousand times its size.
    allowed = 2 * header.raw_bytes + 2**16
    checks = [
        _sizes_are_allowed(header.size, fits, max_pixels),
        _assert(header.is_walked, ["a PNG is broken, or has too many chunks"]),
        _assert(
            header.pixel_bytes <= allowed,
            ["a PNG has", header.pixel_bytes, "bytes of pixels; allowed of its size:", allowed],
        ),
    ]
    with tf.control_dependencies(checks):
        content = tf.identity(header.content)
    image = tf.cond(
        header.depth == 16,
        lambda: _to_bytes(tf.io.decode_png(content, 3, tf.uint16), pixel_range),
        lambda: tf.io.decode_png(content, 3, tf.uint8),
    )
    return image, header.orientation


def _assert(condition, message):
    # tf.debugging.Assert is also a branch, which takes longer than decoding a small image.
    data = [tf.convert_to_tensor(part) for part in message]
    return tf.raw_ops.Assert(condition=condition, data=data, summarize=4)


def _sizes_are_allowed(size, fits, max_pixels):
    return _assert(
        tf.reduce_all(size > 0) & fits,
        ["an image has height and width", size, "; pixels allowed:", max_pixels],
    )


def _to_bytes(pixels, pixel_range):
    """uint16 [H, W, 3] as `PixelRange.to_uint8` maps them, one block after another."""
    table = tf.constant(pixel_range.to_uint8(np.arange(DEPTH, dtype=np.uint16)))
    flat = tf.reshape(pixels, [-1])
    blocks = -(-tf.size(flat) // _BLOCK)

    def step(number, parts):
        block = flat[number * _BLOCK : (number + 1) * _BLOCK]
        part = tf.gather(table, tf.cast(block, tf.int32))
        return number + 1, parts.write(number, part)

    parts = tf.TensorArray(tf.uint8, blocks, infer_shape=False, element_shape=[None])
    _, parts = tf.while_loop(
        lambda number, parts: number < blocks, step, [0, parts], parallel_iterations=1
    )
    return tf.reshape(parts.concat(), tf.shape(pixels))


def decode_to_size(
    encoded: tf.Tensor,
    frame: ImageFrame,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = ALL_16_BITS,
) -> tf.Tensor:
    """Decodes an image and fits it into a frame, like images in training.

    Args:
        encoded: string scalar, the file.
        frame: What the image becomes.
        max_pixels: As for `decode`.
        pixel_range: As for `decode`.

    Returns:
        uint8 [H, W, C] in the frame's size.

    Raises:
        tf.errors.InvalidArgumentError: As for `decode`.
    """
    image = decode(encoded, max_pixels, pixel_range, frame)
    if frame.channels == 1:
        image = image_ops.to_luma(image)
    return image_ops.to_uint8(image_ops.fit_image(image, frame))


def decode_all(
    encoded: tf.Tensor,
    frame: ImageFrame,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = ALL_16_BITS,
) -> tf.Tensor:
    """Decodes and resizes several images; if one is refused, all fail.

    Args:
        encoded: string [N], the files.
        frame: What the image becomes.
        max_pixels: Limit for each image, as for `decode`.
        pixel_range: As for `decode`.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        tf.errors.InvalidArgumentError: As for `decode`.
    """
    return map_all(
        lambda one: decode_to_size(one, frame, max_pixels, pixel_range), encoded, _spec(frame)
    )


def decode_valid(
    encoded: tf.Tensor,
    frame: ImageFrame,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = ALL_16_BITS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes and resizes several images; a refused one becomes black.

    Args:
        encoded: string [N], the files.
        frame: What the image becomes.
        max_pixels: Limit for each image, as for `decode`.
        pixel_range: As for `decode`.

    Returns:
        uint8 [N, H, W, C], and bool [N]: whether the image could be decoded.
    """
    return map_valid(
        lambda one: decode_to_size(one, frame, max_pixels, pixel_range), encoded, _spec(frame)
    )


def _spec(frame):
    return tf.TensorSpec(frame.shape, tf.uint8)


def map_all(decode_one: Decode, encoded: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Decodes several images, string [N]; if one is refused, all fail.

    Args:
        decode_one: string scalar -> image.
        encoded: The images.
        spec: Spec of a decoded image.
    """
    return tf.map_fn(
        decode_one,
        encoded,
        fn_output_signature=spec,
        parallel_iterations=2,  # each may hold four copies of a large image
    )


def map_valid(
    decode_one: Decode, encoded: tf.Tensor, spec: tf.TensorSpec
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes several images, string [N]; a refused one becomes 0.

    A graph has no exceptions to catch, but a tf.data pipeline inside it can skip the elements that
    fail.

    Args:
        decode_one: string scalar -> image.
        encoded: The images.
        spec: Spec of a decoded image.

    Returns:
        The images, and bool [N]: whether each could be decoded.
    """
    count = tf.size(encoded)
    images = tf.data.Dataset.from_tensor_slices((tf.range(count), encoded))
    images = images.map(lambda number, one: (number, decode_one(one)), num_parallel_calls=2)
    images = images.ignore_errors(log_warning=False)
    # One more, with number N, so that there is something to batch if all were refused.
    last = tf.data.Dataset.from_tensors((count, tf.zeros(spec.shape, spec.dtype)))
    images = images.concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    numbers, pixels = images.get_single_element()
    indices = numbers[:, tf.newaxis]
    decoded = tf.scatter_nd(indices, pixels, [count + 1, *spec.shape])[:count]
    valid = tf.scatter_nd(indices, tf.ones_like(numbers), [count + 1])[:count] > 0
    return decoded, valid
