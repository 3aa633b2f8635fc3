"""Crops of larger images: the center for evaluation, random crops for training."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dim_tf.data.splits import Images


class CenterCrops:
    """The centers of images, cropped on access."""

    def __init__(self, images: Images, size: Sequence[int]):
        """Stores the images, which are cropped on access.

        Args:
            images: uint8 [N, H, W, C], at least as high and as wide as `size`.
            size: Height and width of a crop.
        """
        self._images = images
        count, height, width, channels = images.shape
        self.dtype = images.dtype
        self.shape = (count, *size, channels)
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        self._window = (slice(top, top + size[0]), slice(left, left + size[1]))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._images[indices][:, *self._window])


def random_crops(images: tf.Tensor, size: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """A crop of each image, anywhere inside it; all positions are equally likely.

    Args:
        images: [B, H, W, C], at least as high and as wide as `size`; all sizes but B are known.
        size: Height and width of a crop.
        seed: int [2], determines the positions.

    Returns:
        [B, *size, C] of the same dtype.
    """
    _, height, width, channels = images.shape
    count = tf.shape(images)[0]

    def lines(extent, length, purpose):
        """The rows or columns of each image's crop, int [B, length]."""
        first = tf.random.stateless_uniform(
            [count, 1], seed + [purpose, 0], maxval=extent - length + 1, dtype=tf.int32
        )
        return first + tf.range(length)

    rows, columns = lines(height, size[0], 2), lines(width, size[1], 3)
    image = tf.range(count)[:, tf.newaxis, tf.newaxis] * (height * width)
    pixels = image + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]
    return tf.gather(tf.reshape(images, [-1, channels]), pixels)
