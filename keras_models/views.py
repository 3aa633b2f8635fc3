"""Views: from a batch, the images that a term's context and its query are taken from.

Whole images by default; occluded (Hjelm et al. 2019, section on structure) or augmented twice
(AMDIM: Bachman et al. 2019) on demand. Everything is computed for the batch at once, can be
compiled by XLA and draws its noise from `StepRandom`.

Images are float32 [N, H, W, C] in [-1, 1] with C = 1 or 3; H and W are known before the graph is.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers

VIEWS = ("local view", "global view")  # names of the context's and the query's noise
OCCLUDED_FRACTION = 0.5  # of each side

# AMDIM's transformations, in its published code those for STL-10 and ImageNet.
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

    AMDIM's crops are interpolated bicubically, and its CIFAR images shifted instead of cropped.

    Args:
        smallest_crop: the least share of the image's area that a crop has, before sides that are
            longer than the image's are cut; 1: no crops.
        colours: multiplies the ranges of the jitter and the share of grayscale images; 0: neither.

    Raises:
        ValueError: a smallest crop outside of (0, 1], or colours outside of [0, 2].
    """

    def __init__(self, smallest_crop: float = MIN_CROP_SCALE, colours: float = 1.0):
        if not 0 < smallest_crop <= 1:
            raise ValueError(
                f"a crop of {smallest_crop} of the image's area; give more than 0, at most 1"
            )
        if not 0 <= colours <= 2:
            raise ValueError(f"colour jitter {colours} times as strong; give 0 to 2")
        self.smallest_crop = smallest_crop
        self.colours = colours

    def __call__(self, images: tf.Tensor, random: StepRandom, view: str) -> tf.Tensor:
        """A view of each image.

        Args:
            images: float32 [N, H, W, C] in [-1, 1].
            random: decides the crops and the colours.
            view: the view's name; other views get other noise.
        """
        if self.smallest_crop < 1:
            images = random_resized_crop(images, random, view, self.smallest_crop)
        return random_color_jitter(images, random, view, self.colours) if self.colours else images

    def get_config(self):
        return {"smallest_crop": self.smallest_crop, "colours": self.colours}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Views:
    """Makes the images that the context is taken from and those of the query.

    Args:
        augmentation: Each is an augmentation of its own of the image (AMDIM); None: the image.
        occluded: Whether a block of the query's image is occluded.
        shared_flip: Whether both augmentations are of the same side of the image, as in AMDIM's
            code; else each is mirrored or not by itself, as in SimCLR's.
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
            random: Decides the views.

        Returns:
            Two tensors like `images`; where both see the same, the same tensor twice, so that the
            encoder needs to run only once.
        """
        context = query = images
        if self.augmentation:
            if self.shared_flip:
                sides = [flip(images, random)] * 2
            else:
                sides = [flip(images, random.fold_in(view)) for view in VIEWS]
            context, query = (
                self.augmentation(side, random, view)
                for side, view in zip(sides, VIEWS, strict=True)
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


def occlude(images: tf.Tensor, random: StepRandom, share: float = OCCLUDED_FRACTION) -> tf.Tensor:
    """Sets a random block of each image to 0, mid-grey.

    Args:
        images: float32 [N, H, W, C].
        random: decides the place, uniform over all where the block fits.
        share: the block is share·H high and share·W wide, rounded.

    Raises:
        ValueError: a share outside of [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a block of {share} of the image's sides is no block; give 0 to 1")
    place = random.uniform("occlusion", tf.shape(images)[0], (2,))

    def covered(noise, size):
        """[N] in [0, 1) -> bool [N, size]."""
        block = round(share * size)
        first = tf.floor(noise * (size - block + 1))[:, tf.newaxis]
        pixel = tf.range(size, dtype=tf.float32)
        return (pixel >= first) & (pixel < first + block)

    rows = covered(place[:, 0], images.shape[1])[:, :, tf.newaxis, tf.newaxis]
    columns = covered(place[:, 1], images.shape[2])[:, tf.newaxis, :, tf.newaxis]
    return tf.where(rows & columns, tf.zeros_like(images), images)


def flip(images: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """Mirrors each image [H, W, C] left to right with probability 1/2."""
    flipped = _happens(FLIP_PROBABILITY, tf.shape(images)[0], "flip", random)
    return tf.where(flipped[:, tf.newaxis, tf.newaxis, tf.newaxis], images[:, :, ::-1], images)


def random_resized_crop(
    images: tf.Tensor, random: StepRandom, view: str, smallest: float = MIN_CROP_SCALE
) -> tf.Tensor:
    """A random part of each image, resized to H x W; its place, area and shape are random."""
    noise = random.uniform(f"{view}: crop", tf.shape(images)[0], (4,))
    return resized_crop(images, crop_boxes(noise, images.shape[1], images.shape[2], smallest))


def crop_boxes(
    noise: tf.Tensor, height: int, width: int, smallest: float = MIN_CROP_SCALE
) -> tf.Tensor:
    """Random boxes within an image.

    The area is uniform in `smallest` to 1 of the image's, the aspect ratio log-uniform in 0.7 to
    1.4; a side longer than the image's is cut to it. The place is uniform where the box fits.

    Args:
        noise: float32 [N, 4], uniform in [0, 1).
        height: H of the image.
        width: W.
        smallest: the least share of the image's area, before sides are cut.

    Returns:
        float32 [N, 4]: top, left, height, width in pixels, not whole ones.
    """
    area = height * width * _between(smallest, 1.0, noise[:, 0])
    log_aspect = _between(math.log(CROP_ASPECT[0]), math.log(CROP_ASPECT[1]), noise[:, 1])
    box_height = tf.clip_by_value(tf.sqrt(area * tf.exp(-log_aspect)), 1.0, height)
    box_width = tf.clip_by_value(tf.sqrt(area * tf.exp(log_aspect)), 1.0, width)
    top = noise[:, 2] * (height - box_height)
    left = noise[:, 3] * (width - box_width)
    return tf.stack([top, left, box_height, box_width], axis=1)


def resized_crop(images: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Crops each image to its box and resizes that bilinearly to the image's size.

    Resizing is linear in the pixels, rows and columns apart: two batched matrix products. On boxes
    of whole pixels it is `tf.image.resize` of the crop.

    Args:
        images: float32 [N, H, W, C].
        boxes: float32 [N, 4]: top, left, height, width in pixels, within the image and with sides
            of 1 pixel at least.

    Returns:
        float32 [N, H, W, C].
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    of_rows = _interpolation(boxes[:, 0], boxes[:, 2], height)
    of_columns = _interpolation(boxes[:, 1], boxes[:, 3], width)
    x = of_rows @ tf.reshape(images, [n, height, width * channels])
    x = tf.transpose(tf.reshape(x, [n, height, width, channels]), [0, 2, 1, 3])
    x = of_columns @ tf.reshape(x, [n, width, height * channels])
    return tf.transpose(tf.reshape(x, [n, width, height, channels]), [0, 2, 1, 3])


def _interpolation(first, length, size):
    """Weights [N, size, size] that stretch pixels first ... first + length - 1 to `size` pixels.

    Row i holds the weights of the source pixels of pixel i.
    """
    first, length = first[:, tf.newaxis], length[:, tf.newaxis]
    pixel = tf.range(size, dtype=tf.float32)
    # Pixel i covers i to i + 1, so its centre is at i + 1/2, here and in the source.
    source = first + (pixel + 0.5) * (length / size) - 0.5
    source = tf.clip_by_value(source, first, first + length - 1)  # nothing from outside the box
    return tf.nn.relu(1 - tf.abs(source[:, :, tf.newaxis] - pixel))


def random_color_jitter(
    images: tf.Tensor, random: StepRandom, view: str, strength: float = 1.0
) -> tf.Tensor:
    """Colour jitter of each image with probability 0.8, then grayscale with probability 1/4.

    The jitter's factors are uniform in 0.6 to 1.4, the turn of the hue in ±0.2; the strength
    multiplies these ranges, and the probability of grayscale. Grayscale is no saturation, which
    leaves the luma of Rec. 601. See `adjust_colors`.
    """
    n = tf.shape(images)[0]
    jittered = _happens(JITTER_PROBABILITY, n, f"{view}: jittered", random)
    noise = _between(-strength, strength, random.uniform(f"{view}: colours", n, (4,)))
    change = tf.where(jittered[:, tf.newaxis], noise, tf.zeros_like(noise))
    saturation = 1 + SATURATION * change[:, 2]
    gray = _happens(strength * GRAYSCALE_PROBABILITY, n, f"{view}: grayscale", random)
    return adjust_colors(
        images,
        brightness=1 + BRIGHTNESS * change[:, 0],
        contrast=1 + CONTRAST * change[:, 1],
        saturation=tf.where(gray, tf.zeros_like(saturation), saturation),
        hue=HUE * change[:, 3],
    )


def adjust_colors(images, brightness, contrast, saturation, hue) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, in that order.

    On the scale [0, 1], where black is 0: brightness multiplies the pixels; contrast multiplies
    their difference from the image's mean luma; saturation multiplies the chroma (I and Q of YIQ)
    and hue turns it. The result is clipped, once. Images with one channel have no chroma.

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
    # makes m + c·(b·u - m) of b·u, and what is done to the chroma leaves m.
    scale = contrast * brightness
    if channels == 3:
        change = scale[:, tf.newaxis, tf.newaxis] * _chroma_change(saturation, hue)
        pixels = tf.matmul(pixels, change, transpose_b=True)
        mean = mean @ LUMA[:, np.newaxis]  # [N, 1]
    else:
        pixels *= scale[:, tf.newaxis, tf.newaxis]
    offset = scale + (brightness - scale) * (mean[:, 0] + 1) - 1
    pixels = tf.clip_by_value(pixels + offset[:, tf.newaxis, tf.newaxis], -1.0, 1.0)
    return tf.reshape(pixels, [n, height, width, channels])


def _chroma_change(saturation, hue):
    """Matrices [N, 3, 3] on RGB that scale and turn I and Q of YIQ and leave Y."""
    angle = 2 * math.pi * hue
    one, zero = tf.ones_like(angle), tf.zeros_like(angle)
    cosine, sine = saturation * tf.cos(angle), saturation * tf.sin(angle)
    rows = [[one, zero, zero], [zero, cosine, -sine], [zero, sine, cosine]]
    change = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    return np.linalg.inv(YIQ) @ change @ YIQ


def _happens(share, n, purpose, random):
    """Bool [n], true with probability `share`."""
    return random.uniform(purpose, n, ()) < share


def _between(low, high, noise):
    return low + (high - low) * noise
