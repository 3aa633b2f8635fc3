"""Crops of larger images: the center for evaluation, random ones for training."""

import numpy as np
import tensorflow as tf

from dim_tf.data.splits import Images


class CenterCrops:
    """The centers of images, cropped when they are asked for."""

    def __init__(self, images: Images, size: int):
        """Crops nothing yet.

        Args:
            images: uint8 [N, H, W, C] with H, W ≥ `size`.
            size: pixels a side.
        """
        self._images = images
        count, height, width, channels = images.shape
        self.shape = (count, size, size, channels)
        top, left = (height - size) // 2, (width - size) // 2
        self._window = (slice(top, top + size), slice(left, left + size))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self._images[indices][:, *self._window])


def random_crops(images: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """A crop of each image, anywhere inside it, all positions equally likely.

    Args:
        images: [B, H, W, C] with H, W ≥ `size`, known but for B.
        size: pixels a side.
        seed: int [2], decides the positions.

    Returns:
        [B, size, size, C] of the same dtype.
    """
    _, height, width, channels = images.shape
    count = tf.shape(images)[0]

    def first_pixel(extent, purpose):
        return tf.random.stateless_uniform(
            [count, 1], seed + [purpose, 0], maxval=extent - size + 1, dtype=tf.int32
        )

    rows = first_pixel(height, 2) + tf.range(size)  # [B, size]: of each image
    columns = first_pixel(width, 3) + tf.range(size)
    image = tf.range(count)[:, tf.newaxis, tf.newaxis] * (height * width)
    pixels = image + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]
    return tf.gather(tf.reshape(images, [-1, channels]), pixels)
