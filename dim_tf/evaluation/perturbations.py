"""Perturbed copies of images, by which representations are measured without labels.

Some are like training's two views and some are not, so that an objective that trains for one of
them does not win by construction.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from keras_models import views
from keras_models.distribute.randomness import StepRandom

CHUNK_SIZE = 500
TILT = np.pi / 6  # largest tilt of copies, to either side
LOW_RESOLUTION = 4  # the factor by which blurred copies lose pixels a side

Perturbation = Callable[[tf.Tensor, StepRandom], tf.Tensor]


def natural(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """A view as in training: flip, crop of at least 0.3 of the area, half the colour jitter."""
    return views.Augmentation(views.MIN_CROP_SCALE, 0.5)(views.flip(images, random), random, "copy")


def strong(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """Stronger than in training: crop of at least 0.1 of the area, full colour jitter."""
    return views.Augmentation(0.1, 1.0)(views.flip(images, random), random, "copy")


def tilted(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """Rotated by up to 30° about the centre, reflected at the edges."""
    n = tf.shape(images)[0]
    height, width = images.shape[1:3]
    angle = (2 * random.uniform("tilt", n, ()) - 1) * TILT
    cosine, sine = tf.cos(angle), tf.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    zero = tf.zeros_like(angle)
    rows = [cosine, -sine, x - x * cosine + y * sine, sine, cosine, y - x * sine - y * cosine]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*rows, zero, zero], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def blurred(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """A quarter of the pixels a side."""
    del random
    height, width = images.shape[1:3]
    small = [max(height // LOW_RESOLUTION, 1), max(width // LOW_RESOLUTION, 1)]
    return tf.image.resize(tf.image.resize(images, small, antialias=True), [height, width])


def inverted(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """The negative of each image."""
    del random
    return -images


PERTURBATIONS: Mapping[str, Perturbation] = {
    "natural": natural,
    "strong": strong,
    "tilted": tilted,
    "blurred": blurred,
    "inverted": inverted,
}


def perturb(images: np.ndarray, name: str, seed: int = 0) -> np.ndarray:
    """A perturbed copy of each image.

    Args:
        images: uint8 [N, H, W, C].
        name: One of `PERTURBATIONS`.
        seed: Seed of the random numbers.

    Returns:
        uint8 [N, H, W, C].
    """
    copies = np.empty_like(images)
    for first in range(0, len(images), CHUNK_SIZE):
        chunk = slice(first, first + CHUNK_SIZE)
        pixels = image_ops.to_unit(tf.constant(images[chunk])) * 2.0 - 1.0
        copy = PERTURBATIONS[name](pixels, StepRandom(seed, tf.constant(first)))
        copies[chunk] = image_ops.to_uint8((copy + 1.0) * 127.5).numpy()
    return copies


def rotations(images: np.ndarray) -> np.ndarray:
    """Every rotation of each image by right angles; only by half a turn if it is not square.

    Args:
        images: uint8 [N, H, W, C].

    Returns:
        uint8 [R, N, H, W, C], the images themselves first; R = 4, or 2.
    """
    square = images.shape[1] == images.shape[2]
    turns = range(4) if square else (0, 2)
    return np.stack([np.rot90(images, turn, axes=(1, 2)) for turn in turns])


def quadrants(images: np.ndarray) -> np.ndarray:
    """The quadrants of each image, enlarged to the image's size.

    Args:
        images: uint8 [N, H, W, C] with H, W ≥ 2.

    Returns:
        uint8 [4, N, H, W, C]: top left, top right, bottom left, bottom right.
    """
    height, width = images.shape[1:3]
    enlarged = []
    for rows in (slice(None, height // 2), slice(height - height // 2, None)):
        for columns in (slice(None, width // 2), slice(width - width // 2, None)):
            quadrant = tf.constant(images[:, rows, columns])
            enlarged.append(image_ops.to_uint8(tf.image.resize(quadrant, [height, width])).numpy())
    return np.stack(enlarged)
