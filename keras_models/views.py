"""Views of a batch: the images from which a term's context and its query are encoded.

By default both are the images themselves; the query's may be occluded (Hjelm et al. 2019, section
on structure), and both may be augmented (AMDIM: Bachman et al. 2019). Views are computed for the
whole batch at once, can be compiled by XLA and draw their noise from `StepRandom`.

Images are float32 [N, H, W, C] in [-1, 1] with static H, W and C.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers

VIEWS = ("local view", "global view")  # names of the context's and the query's noise
OCCLUDED_FRACTION = 0.5  # of each of the image's sides

# Parameters of AMDIM's published code for STL-10 and ImageNet.
FLIP_PROBABILITY = 0.5
MIN_CROP_SCALE = 0.3  # of the image's area
CROP_ASPECT = (0.7, 1.4)  # width / height
JITTER_PROBABILITY = 0.8
BRIGHTNESS = CONTRAST = SATURATION = 0.4  # factors are uniform in 1 ± this
HUE = 0.2  # of a full turn, to either side
GRAYSCALE_PROBABILITY = 0.25

# Rows: Y, which is the luma of Rec. 601, and the chroma, I and Q.
YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]],
    np.float32,
)
LUMA = YIQ[0]


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Augmentation:
    """One view in the manner of AMDIM: a resized crop, then colour jitter, then maybe grayscale.

    AMDIM interpolates its crops bicubically, and shifts its CIFAR images instead of cropping them.

    Args:
        min_crop_scale: The smallest area of a crop as a fraction of the image's, before sides
            longer than the image's are clipped; 1: no crops.
        color_jitter_strength: Factor of the jitter's ranges and of the probability of grayscale; 0:
            neither.

    Raises:
        ValueError: `min_crop_scale` outside of (0, 1], or `color_jitter_strength` outside of
            [0, 2].
    """

    def __init__(self, min_crop_scale: float = MIN_CROP_SCALE, color_jitter_strength: float = 1.0):
        if not 0 < min_crop_scale <= 1:
            raise ValueError(
                f"a crop of {min_crop_scale} of the image's area; give more than 0, at most 1"
            )
        if not 0 <= color_jitter_strength <= 2:
            raise ValueError(f"colour jitter {color_jitter_strength} times as strong; give 0 to 2")
        self.min_crop_scale = min_crop_scale
        self.color_jitter_strength = color_jitter_strength

    def __call__(self, images: tf.Tensor, random: StepRandom, view: str) -> tf.Tensor:
        """A view of each image.

        Args:
            images: float32 [N, H, W, C] in [-1, 1].
            random: Random numbers of the step.
            view: Name of the view; each view has its own noise.
        """
        if self.min_crop_scale < 1:
            images = random_resized_crop(images, random, view, self.min_crop_scale)
        if self.color_jitter_strength:
            images = random_color_jitter(images, random, view, self.color_jitter_strength)
        return images

    def get_config(self):
        return {
            "min_crop_scale": self.min_crop_scale,
            "color_jitter_strength": self.color_jitter_strength,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Views:
    """Makes the images of the context and those of the query.

    Args:
        augmentation: Applied to context and query independently (AMDIM); None: no augmentation.
        occluded: Whether a block of the query's image is occluded.
        shared_flip: Whether context and query are flipped together, as in AMDIM's code; else each
            is flipped independently, as in SimCLR's.
    """

    def __init__(
        self,
        augmentation: Augmentation | None = None,
        occluded: bool = False,
        shared_flip: bool = True,
    ):
        self.augmentation = augmentation
        self.occluded = occluded
        self.shared_flip = shared_flip

    def __call__(self, images: tf.Tensor, random: StepRandom) -> tuple[tf.Tensor, tf.Tensor]:
        """The images of the context and those of the query.

        Args:
            images: float32 [N, H, W, C] in [-1, 1].
            random: Random numbers of the step.

        Returns:
            Two tensors like `images`. They are the same tensor if the views are equal, so that the
            encoder need run only once.
        """
        context = query = images
        if self.augmentation:
            if self.shared_flip:
                flipped = [flip(images, random)] * 2
            else:
                flipped = [flip(images, random.fold_in(view)) for view in VIEWS]
            context, query = (
                self.augmentation(x, random, view) for x, view in zip(flipped, VIEWS, strict=True)
            )
        if self.occluded:
            query = occlude(query, random)
        return context, query

    def get_config(self):
        augmentation = self.augmentation and keras.saving.serialize_keras_object(self.augmentation)
        return {
            "augmentation": augmentation,
            "occluded": self.occluded,
            "shared_flip": self.shared_flip,
        }

    @classmethod
    def from_config(cls, config):
        augmentation = config["augmentation"]
        if augmentation:
            augmentation = keras.saving.deserialize_keras_object(augmentation)
        return cls(**{**config, "augmentation": augmentation})


def occlude(
    images: tf.Tensor, random: StepRandom, fraction: float = OCCLUDED_FRACTION
) -> tf.Tensor:
    """Sets a random block of each image to 0, mid-grey.

    Args:
        images: float32 [N, H, W, C].
        random: Random numbers of the step. The position is uniform over those where the block fits.
        fraction: The block is fraction·H high and fraction·W wide, rounded.

    Raises:
        ValueError: `fraction` is outside of [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"a block of {fraction} of the image's sides is no block; give 0 to 1")
    position = random.uniform("occlusion", tf.shape(images)[0], (2,))

    def covered(noise, size):
        """[N] in [0, 1) -> bool [N, size]."""
        block = round(fraction * size)
        first = tf.floor(noise * (size - block + 1))[:, tf.newaxis]
        pixel = tf.range(size, dtype=tf.float32)
        return (pixel >= first) & (pixel < first + block)

    rows = covered(position[:, 0], images.shape[1])[:, :, tf.newaxis, tf.newaxis]
    columns = covered(position[:, 1], images.shape[2])[:, tf.newaxis, :, tf.newaxis]
    return tf.where(rows & columns, tf.zeros_like(images), images)


def flip(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """Mirrors each image [H, W, C] left to right with probability 1/2."""
    flipped = _bernoulli(FLIP_PROBABILITY, tf.shape(images)[0], "flip", random)
    return tf.where(flipped[:, tf.newaxis, tf.newaxis, tf.newaxis], images[:, :, ::-1], images)


def random_resized_crop(
    images: tf.Tensor, random: StepRandom, view: str, min_scale: float = MIN_CROP_SCALE
) -> tf.Tensor:
    """A crop of each image, of random position, area and shape, resized to H x W."""
    noise = random.uniform(f"{view}: crop", tf.shape(images)[0], (4,))
    return resized_crop(images, crop_boxes(noise, images.shape[1], images.shape[2], min_scale))


def crop_boxes(
    noise: tf.Tensor, height: int, width: int, min_scale: float = MIN_CROP_SCALE
) -> tf.Tensor:
    """Random boxes within an image.

    The area is uniform between `min_scale` and 1 times the image's, the aspect ratio log-uniform
    between 0.7 and 1.4; a side longer than the image's is clipped. The position is uniform over
    those where the box fits.

    Args:
        noise: float32 [N, 4], uniform in [0, 1).
        height: H, the image's height.
        width: W, the image's width.
        min_scale: The smallest area as a fraction of the image's, before sides are clipped.

    Returns:
        float32 [N, 4]: top, left, height, width in (fractional) pixels.
    """
    area = height * width * _between(min_scale, 1.0, noise[:, 0])
    log_aspect = _between(math.log(CROP_ASPECT[0]), math.log(CROP_ASPECT[1]), noise[:, 1])
    box_height = tf.clip_by_value(tf.sqrt(area * tf.exp(-log_aspect)), 1.0, height)
    box_width = tf.clip_by_value(tf.sqrt(area * tf.exp(log_aspect)), 1.0, width)
    top = noise[:, 2] * (height - box_height)
    left = noise[:, 3] * (width - box_width)
    return tf.stack([top, left, box_height, box_width], axis=1)


def resized_crop(images: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Crops each image to its box and resizes that bilinearly to the image's size.

    Resizing is linear in the pixels and separable: two batched matrix products. For boxes of whole
    pixels it equals `tf.image.resize` of the crop.

    Args:
        images: float32 [N, H, W, C].
        boxes: float32 [N, 4]: top, left, height, width in pixels, within the image and with sides
            of at least 1 pixel.

    Returns:
        float32 [N, H, W, C].
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    row_weights = _interpolation(boxes[:, 0], boxes[:, 2], height)
    column_weights = _interpolation(boxes[:, 1], boxes[:, 3], width)
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


def random_color_jitter(
    images: tf.Tensor, random: StepRandom, view: str, strength: float = 1.0
) -> tf.Tensor:
    """Color jitter of each image with probability 0.8, then grayscale with probability 1/4.

    The jitter's factors are uniform in 0.6 to 1.4, the hue's rotation in ±0.2 turns; the strength
    scales these ranges and the probability of grayscale. Grayscale means saturation 0, which leaves
    the luma of Rec. 601. See `adjust_colors`.
    """
    n = tf.shape(images)[0]
    jittered = _bernoulli(JITTER_PROBABILITY, n, f"{view}: jittered", random)
    # The purpose "colours" is part of the seed, whatever the setting is called.
    noise = _between(-strength, strength, random.uniform(f"{view}: colours", n, (4,)))
    change = tf.where(jittered[:, tf.newaxis], noise, tf.zeros_like(noise))
    saturation = 1 + SATURATION * change[:, 2]
    gray = _bernoulli(strength * GRAYSCALE_PROBABILITY, n, f"{view}: grayscale", random)
    return adjust_colors(
        images,
        brightness=1 + BRIGHTNESS * change[:, 0],
        contrast=1 + CONTRAST * change[:, 1],
        saturation=tf.where(gray, tf.zeros_like(saturation), saturation),
        hue=HUE * change[:, 3],
    )


def adjust_colors(images, brightness, contrast, saturation, hue) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, in that order.

    On the scale [0, 1], where black is 0, brightness multiplies the pixels, contrast their
    difference from the image's mean luma, saturation the chroma (I and Q of YIQ), which hue
    rotates. The result is clipped once. Images of other than three channels have no chroma;
    contrast is then that of each channel.

    Args:
        images: float32 [N, H, W, C] in [-1, 1].
        brightness: float32 [N].
        contrast: float32 [N].
        saturation: float32 [N].
        hue: float32 [N], in full turns.

    Returns:
        float32 [N, H, W, C] in [-1, 1].
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    pixels = tf.reshape(images, [n, height * width, channels])
    mean = tf.reduce_mean(pixels, axis=1)  # [N, C]
    # All four are one affine map of the pixels. With u = (x + 1) / 2 in [0, 1] and luma m, contrast
    # maps b·u to m + c·(b·u - m), and changes of the chroma leave m.
    scale = contrast * brightness
    if channels == 3:
        change = scale[:, tf.newaxis, tf.newaxis] * _chroma_change(saturation, hue)
        pixels = tf.matmul(pixels, change, transpose_b=True)
        mean = mean @ LUMA[:, np.newaxis]  # [N, 1]; of other images each channel has its own
    else:
        pixels *= scale[:, tf.newaxis, tf.newaxis]
    brightness, scale = brightness[:, tf.newaxis], scale[:, tf.newaxis]
    offset = scale + (brightness - scale) * (mean + 1) - 1
    pixels = tf.clip_by_value(pixels + offset[:, tf.newaxis], -1.0, 1.0)
    return tf.reshape(pixels, [n, height, width, channels])


def _chroma_change(saturation, hue):
    """Matrices [N, 3, 3] on RGB that scale and rotate I and Q of YIQ and leave Y."""
    angle = 2 * math.pi * hue
    one, zero = tf.ones_like(angle), tf.zeros_like(angle)
    cosine, sine = saturation * tf.cos(angle), saturation * tf.sin(angle)
    rows = [[one, zero, zero], [zero, cosine, -sine], [zero, sine, cosine]]
    change = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    return np.linalg.inv(YIQ) @ change @ YIQ


def _bernoulli(probability, n, purpose, random):
    """Bool [n], true with that probability."""
    return random.uniform(purpose, n, ()) < probability


def _between(low, high, noise):
    return low + (high - low) * noise
