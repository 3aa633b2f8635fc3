"""Geometric changes of a batch of images: crops, blur, rotation, turns by 90 degrees.

Crops and blur are linear in the pixels and separable: batched matrix products, [H, H] on the rows
and [W, W] on the columns of each image. Rotation is one gather for each of four neighbours. XLA can
compile all of them. Images are float32 [N, H, W, C] with static H, W and C.
"""

import math

import tensorflow as tf

CROP_ASPECT = (0.7, 1.4)  # width / height, as in AMDIM's published code
TURNS = 8  # elements of the dihedral group, the symmetries of a square
MIN_SIGMA = 0.1  # pixels: weights of exp(-50) beside the pixel's own


def crop_boxes(noise: tf.Tensor, height: int, width: int, min_scale: float) -> tf.Tensor:
    """Random boxes within an image.

    The area is uniform between `min_scale` and 1 times the image's, and the aspect ratio is
    log-uniform between 0.7 and 1.4; a side longer than the image's is clipped. The position is
    uniform over all those where the box fits.

    Args:
        noise: float32 [N, 4], uniform in [0, 1).
        height: H, the image's height.
        width: W, the image's width.
        min_scale: The smallest area as a fraction of the image's, before sides are clipped.

    Returns:
        float32 [N, 4]: top, left, height, width in (fractional) pixels.
    """
    area = height * width * between(min_scale, 1.0, noise[:, 0])
    log_aspect = between(math.log(CROP_ASPECT[0]), math.log(CROP_ASPECT[1]), noise[:, 1])
    box_height = tf.clip_by_value(tf.sqrt(area * tf.exp(-log_aspect)), 1.0, height)
    box_width = tf.clip_by_value(tf.sqrt(area * tf.exp(log_aspect)), 1.0, width)
    top = noise[:, 2] * (height - box_height)
    left = noise[:, 3] * (width - box_width)
    return tf.stack([top, left, box_height, box_width], axis=1)


def resized_crop(images: tf.Tensor, boxes: tf.Tensor, sigma: tf.Tensor | None = None) -> tf.Tensor:
    """Crops each image to its box and resizes that bilinearly to the image's size.

    For boxes of whole pixels it equals `tf.image.resize` of the crop.

    Args:
        images: float32 [N, H, W, C].
        boxes: float32 [N, 4]: top, left, height, width in pixels, within the image and with sides
            of at least 1 pixel.
        sigma: float32 [N], standard deviation in pixels of a Gaussian blur of the resized crops, as
            in `gaussian_blur`; None: no blur.

    Returns:
        float32 [N, H, W, C].
    """
    height, width = images.shape[1:3]
    row_weights = _interpolation(boxes[:, 0], boxes[:, 2], height)
    column_weights = _interpolation(boxes[:, 1], boxes[:, 3], width)
    if sigma is not None:  # (blur · crop) · x costs less than blur · (crop · x)
        row_weights = blur_weights(sigma, height) @ row_weights
        column_weights = blur_weights(sigma, width) @ column_weights
    return _separable(images, row_weights, column_weights)


def gaussian_blur(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Convolves each image with a Gaussian, whose weights outside the image are left out.

    The remaining weights are rescaled to sum to 1, so that a constant image stays as it is.

    Args:
        images: float32 [N, H, W, C].
        sigma: float32 [N], standard deviation in pixels; no blur if at most `MIN_SIGMA`.

    Returns:
        float32 [N, H, W, C].
    """
    height, width = images.shape[1:3]
    return _separable(images, blur_weights(sigma, height), blur_weights(sigma, width))


def blur_weights(sigma: tf.Tensor, size: int) -> tf.Tensor:
    """Weights [N, size, size] of a Gaussian blur along a side of `size` pixels; rows sum to 1."""
    pixel = tf.range(size, dtype=tf.float32)
    distance = (pixel[:, tf.newaxis] - pixel) / tf.maximum(sigma, MIN_SIGMA)[:, None, None]
    weights = tf.exp(-0.5 * distance**2)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


def rotate(images: tf.Tensor, angle: tf.Tensor) -> tf.Tensor:
    """Rotates each image about its centre, counter-clockwise as displayed; bilinear.

    What lies outside the image is mirrored at the centres of its outermost pixels. The result
    equals `scipy.ndimage.map_coordinates(..., order=1, mode="mirror")`.

    Args:
        images: float32 [N, H, W, C].
        angle: float32 [N], in radians.

    Returns:
        float32 [N, H, W, C].
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    y = (tf.range(height, dtype=tf.float32) - (height - 1) / 2)[:, tf.newaxis]
    x = tf.range(width, dtype=tf.float32) - (width - 1) / 2
    cosine, sine = tf.cos(angle)[:, None, None], tf.sin(angle)[:, None, None]
    rows = _mirrored(cosine * y + sine * x + (height - 1) / 2, height)  # [N, H, W]
    columns = _mirrored(cosine * x - sine * y + (width - 1) / 2, width)
    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., tf.newaxis], (columns - left)[..., tf.newaxis]
    pixels = tf.reshape(images, [n * height * width, channels])
    first = tf.range(n)[:, None, None] * (height * width)

    def pixel(row, column):
        row = tf.minimum(tf.cast(row, tf.int32), height - 1)
        column = tf.minimum(tf.cast(column, tf.int32), width - 1)
        return tf.gather(pixels, first + row * width + column)

    above = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
    below = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
    return (1 - down) * above + down * below


def _mirrored(position, size):
    """Positions on a side of `size` pixels, mirrored at 0 and size - 1 as often as needed."""
    last = size - 1
    if not last:
        return tf.zeros_like(position)
    return last - tf.abs(tf.math.floormod(position, 2 * last) - last)


def turn(images: tf.Tensor, element: tf.Tensor) -> tf.Tensor:
    """Turns each image by a multiple of 90 degrees, mirrored or not: the dihedral group.

    Args:
        images: float32 [N, H, W, C]. Images that are not square are only mirrored, which includes
            the turns by 0 and 180 degrees.
        element: int [N] from 0 to 7, a sum of 1 for mirroring left to right, 2 for mirroring top to
            bottom, and 4 for transposing.
    """

    def has(bit):
        return (tf.bitwise.bitwise_and(element, bit) > 0)[:, None, None, None]

    images = tf.where(has(1), images[:, :, ::-1], images)
    images = tf.where(has(2), images[:, ::-1], images)
    if images.shape[1] == images.shape[2]:
        images = tf.where(has(4), tf.transpose(images, [0, 2, 1, 3]), images)
    return images


def _separable(images, row_weights, column_weights):
    """Applies matrices [N, H, H] to the rows of each image, and [N, W, W] to its columns."""
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    x = row_weights @ tf.reshape(images, [n, height, width * channels])
    x = tf.transpose(tf.reshape(x, [n, height, width, channels]), [0, 2, 1, 3])
    x = column_weights @ tf.reshape(x, [n, width, height * channels])
    return tf.transpose(tf.reshape(x, [n, width, height, channels]), [0, 2, 1, 3])


def _interpolation(first, length, size):
    """Weights [N, size, size] that stretch pixels first ... first + length - 1 to `size` pixels.

    Row i holds the weights of pixel i's source pixels.
    """
    first, length = first[:, tf.newaxis], length[:, tf.newaxis]
    pixel = tf.range(size, dtype=tf.float32)
    # Pixel i covers i to i + 1, so its centre is at i + 1/2, in the target and in the source.
    source = first + (pixel + 0.5) * (length / size) - 0.5
    source = tf.clip_by_value(source, first, first + length - 1)  # no pixels from outside the box
    return tf.nn.relu(1 - tf.abs(source[:, :, tf.newaxis] - pixel))


def between(low, high, noise):
    """Scales noise, uniform in [0, 1), to be uniform between `low` and `high`."""
    return low + (high - low) * noise
