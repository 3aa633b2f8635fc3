"""Size, channels and scale of images, the same in training and in serving."""

import numpy as np
import tensorflow as tf

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.image_frame import ImageFrame


def fit_image(image: tf.Tensor, frame: ImageFrame) -> tf.Tensor:
    """An image, resized into a frame according to its fit; the channels do not change.

    Resizing is bilinear with antialiasing. An image that is known to have that size keeps its
    pixels.

    Args:
        image: Any real dtype, [H, W, C] with H, W ≥ 1.
        frame: The size and the fit.

    Returns:
        float32 [frame.height, frame.width, C], on the scale of the input.
    """
    if tuple(image.shape[:2]) == (frame.height, frame.width):
        return tf.cast(image, tf.float32)
    size = tf.shape(image, tf.int64)
    window, resized = frame.fitted(size[0], size[1], tf.minimum, tf.maximum)
    top, left = (size[0] - window[0]) // 2, (size[1] - window[1]) // 2
    part = image[top : top + window[0], left : left + window[1]]
    pixels = tf.image.resize(part, tf.cast(tf.stack(resized), tf.int32), antialias=True)
    if frame.fit == "pad":
        # Not black, nor a mean: an encoder would see a border that starts with an edge.
        pixels = tf.gather(pixels, _repeated_edges(resized[0], frame.height), axis=0)
        pixels = tf.gather(pixels, _repeated_edges(resized[1], frame.width), axis=1)
    return tf.ensure_shape(pixels, [frame.height, frame.width, image.shape[-1]])


def _repeated_edges(inner, outer):
    """For each of `outer` lines, the line of the `inner` ones in the middle that it repeats."""
    first = (outer - inner) // 2
    return tf.clip_by_value(tf.range(outer, dtype=tf.int64) - first, 0, inner - 1)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds floats in [0, 255] to uint8."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def to_luma(pixels: tf.Tensor) -> tf.Tensor:
    """RGB bytes to grey bytes, converted as by Pillow: the luma of Rec. 601.

    Args:
        pixels: uint8 [..., 3].

    Returns:
        uint8 [..., 1]; the value of one channel if all three are equal.
    """
    weighted = tf.cast(pixels, tf.int32) * [19595, 38470, 7471]  # of 2^16
    return tf.cast((tf.reduce_sum(weighted, axis=-1, keepdims=True) + 2**15) // 2**16, tf.uint8)


def with_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts images to gray or RGB.

    One channel is repeated three times; three become the luma of Rec. 601.

    Args:
        images: float32 [..., 1 or 3]; or [..., channels], which are returned unchanged.
        channels: 1 or 3.

    Returns:
        float32 [..., channels].

    Raises:
        ValueError: There is no such conversion.
    """
    if images.shape[-1] == channels:
        return images
    if {images.shape[-1], channels} != {1, 3}:
        raise ValueError(f"images of {images.shape[-1]} channels have no {channels}")
    if channels == 3:
        return tf.repeat(images, 3, axis=-1)
    return tf.reduce_sum(images * [0.299, 0.587, 0.114], axis=-1, keepdims=True)


def to_unit(pixels: tf.Tensor) -> tf.Tensor:
    """A data set's images as float32 in [0, 1]: bytes are divided by 255, others are unchanged."""
    if tf.as_dtype(pixels.dtype).is_floating:
        return tf.cast(pixels, tf.float32)
    return tf.cast(pixels, tf.float32) / 255.0


def scale_to_unit(values: tf.Tensor, scaling: ChannelScaling | None) -> tf.Tensor:
    """Images that an exported encoder takes, in [0, 1].

    Args:
        values: float32 [..., C].
        scaling: Scaling of arrays, computed as by `ChannelScaling.to_unit`; None: they are in [0,
            1].

    Returns:
        float32 [..., C].
    """
    if scaling is None:
        return values
    return tf.clip_by_value((values - scaling.offset) * scaling.factor, 0.0, 1.0)


def to_shown(images: np.ndarray) -> np.ndarray:
    """Images of a data set in the form that is shown: bytes, grey or RGB.

    If there are more than three channels, the first three are shown as red, green and blue; if
    there are two, the first.

    Args:
        images: [..., C], uint8, or float32 in [0, 1].

    Returns:
        uint8 [..., 1 or 3].
    """
    shown = images[..., : 3 if images.shape[-1] >= 3 else 1]
    return shown if shown.dtype == np.uint8 else to_uint8(tf.constant(shown) * 255.0).numpy()


def encoder_input(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts images in [0, 1] to an encoder's input, in [-1, 1].

    Args:
        images: float32 [..., C].
        channels: As for `with_channels`.

    Returns:
        float32 [..., channels].
    """
    return with_channels(images, channels) * 2.0 - 1.0
