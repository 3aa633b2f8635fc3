"""Size, channels and scale of images, the same in training and in serving."""

import tensorflow as tf


def resize_center_square(image: tf.Tensor, size: int) -> tf.Tensor:
    """The largest centered square of an image, resized to size x size.

    Bilinear with antialiasing. An image of a known shape of that size keeps its pixels.

    Args:
        image: any real dtype, [H, W, C] with H, W ≥ 1.
        size: pixels a side.

    Returns:
        float32 [size, size, C] on the scale of the input.
    """
    if tuple(image.shape[:2]) == (size, size):
        return tf.cast(image, tf.float32)
    shape = tf.shape(image)
    side = tf.minimum(shape[0], shape[1])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    resized = tf.image.resize(square, [size, size], antialias=True)
    return tf.ensure_shape(resized, [size, size, image.shape[-1]])


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Float in [0, 255] -> uint8, rounded."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def with_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts images to gray or RGB.

    One channel is repeated three times; three become the luma of Rec. 601.

    Args:
        images: float32 [..., 1 or 3].
        channels: 1 or 3.

    Returns:
        float32 [..., channels].
    """
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return tf.repeat(images, 3, axis=-1)
    return tf.reduce_sum(images * [0.299, 0.587, 0.114], axis=-1, keepdims=True)


def to_unit(pixels: tf.Tensor) -> tf.Tensor:
    """Bytes in [0, 255] to float32 in [0, 1], the scale of exported models."""
    return tf.cast(pixels, tf.float32) / 255.0


def encoder_input(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts images in [0, 1] to an encoder's input, in [-1, 1].

    Args:
        images: float32 [..., 1 or 3].
        channels: 1 or 3.

    Returns:
        float32 [..., channels].
    """
    return with_channels(images, channels) * 2.0 - 1.0
