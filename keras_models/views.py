"""Views of a batch: the images from which a term's context and its query are encoded.

By default both are the images themselves. The query's may be occluded (Hjelm et al. 2019, section
on structure), and both may be augmented (AMDIM: Bachman et al. 2019) by the changes that suit the
kind of images. Views are computed for the whole batch at once, can be compiled by XLA, and draw
their noise from `StepRandom`.

Images are float32 [N, H, W, C] in [-1, 1] with static H, W and C. Images that are not RGB have no
hue, saturation or grayscale.
"""

import math
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_models import color_jitter, resampling
from keras_models.color_jitter import ColorRanges
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers

VIEWS = ("local view", "global view")  # names of the context's and the query's noise
OCCLUDED_FRACTION = 0.5  # of each of the image's sides
FLIP_PROBABILITY = 0.5
MIN_CROP_SCALE = 0.3  # of the image's area, as in AMDIM's published code
BLUR_PROBABILITY = 0.5  # as in SimCLR
# Largest standard deviation of a blur: a fraction of the image's longer side, about SimCLR's (2 of
# 224 pixels), but at least this many pixels, since smaller blurs leave small images unchanged.
BLUR_FRACTION, BLUR_PIXELS = 0.01, 0.75


@dataclass(frozen=True)
class ImageKind:
    """The changes that keep the meaning of one kind of images.

    Attributes:
        colors: Ranges of colour jitter.
        is_mirrored: Whether images are mirrored left to right.
        is_turned: Whether images are turned by multiples of 90 degrees and mirrored.
        rotation: Largest rotation to either side, in degrees.
        is_blurred: Whether half of the images are blurred.
    """

    colors: ColorRanges
    is_mirrored: bool = False
    is_turned: bool = False
    rotation: float = 0.0
    is_blurred: bool = False


KINDS = {
    "natural": ImageKind(color_jitter.AMDIM, is_mirrored=True),
    "document": ImageKind(ColorRanges(brightness=0.4, contrast=0.4), rotation=5.0, is_blurred=True),
    "aerial": ImageKind(
        ColorRanges(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, grayscale=0.1),
        is_turned=True,
    ),
    "microscopy": ImageKind(
        ColorRanges(brightness=0.2, contrast=0.2, stains=0.3),
        is_turned=True,
        rotation=180.0,
        is_blurred=True,
    ),
}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Augmentation:
    """One view: turns and rotation if the kind has them, then a resized crop, blur, colour jitter.

    Natural images have crops, colour jitter and maybe grayscale, in the manner of AMDIM. AMDIM
    itself interpolates its crops bicubically, and shifts CIFAR images instead of cropping them.

    Args:
        min_crop_scale: The smallest area of a crop as a fraction of the image's, before sides
            longer than the image's are clipped; 1: no crops.
        color_jitter_strength: Factor of the jitter's ranges and of the probability of grayscale; 0:
            neither.
        kind: What the images show, one of `KINDS`.

    Raises:
        ValueError: `min_crop_scale` is outside (0, 1], `color_jitter_strength` is outside [0, 2],
            or the kind is unknown.
    """

    def __init__(
        self,
        min_crop_scale: float = MIN_CROP_SCALE,
        color_jitter_strength: float = 1.0,
        kind: str = "natural",
    ):
        if not 0 < min_crop_scale <= 1:
            raise ValueError(
                f"a crop of {min_crop_scale} of the image's area; give more than 0, at most 1"
            )
        if not 0 <= color_jitter_strength <= 2:
            raise ValueError(f"colour jitter {color_jitter_strength} times as strong; give 0 to 2")
        if kind not in KINDS:
            raise ValueError(f"no kind of images {kind!r}; give one of {', '.join(KINDS)}")
        self.min_crop_scale = min_crop_scale
        self.color_jitter_strength = color_jitter_strength
        self.kind = kind

    def __call__(self, images: tf.Tensor, random: StepRandom, view: str) -> tf.Tensor:
        """A view of each image, not mirrored left to right: `Views` does that.

        Args:
            images: float32 [N, H, W, C] in [-1, 1].
            random: Random numbers of the step.
            view: Name of the view; each view has its own noise.
        """
        kind = KINDS[self.kind]
        if kind.is_turned:
            images = random_turn(images, random, view)
        if kind.rotation:
            images = random_rotation(images, random, view, kind.rotation)
        sigma = random_blur(images, random, view) if kind.is_blurred else None
        if self.min_crop_scale < 1:
            images = random_resized_crop(images, random, view, self.min_crop_scale, sigma)
        elif sigma is not None:
            images = resampling.gaussian_blur(images, sigma)
        if self.color_jitter_strength:
            images = color_jitter.random_color_jitter(
                images, random, view, self.color_jitter_strength, kind.colors
            )
        return images

    def get_config(self):
        return {
            "min_crop_scale": self.min_crop_scale,
            "color_jitter_strength": self.color_jitter_strength,
            "kind": self.kind,
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
        shared_flip: Whether context and query are mirrored together, as in AMDIM's code. If not,
            each is mirrored independently, as in SimCLR's. Turns are always independent.
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
            Two tensors like `images`. If the views are equal they are the same tensor, so that the
            encoder runs only once.
        """
        context = query = images
        if self.augmentation:
            if not KINDS[self.augmentation.kind].is_mirrored:
                flipped = [images] * 2
            elif self.shared_flip:
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
        random: Random numbers of the step. The position is uniform over all those where the block
            fits.
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
    flipped = color_jitter.bernoulli(FLIP_PROBABILITY, tf.shape(images)[0], "flip", random)
    return tf.where(flipped[:, tf.newaxis, tf.newaxis, tf.newaxis], images[:, :, ::-1], images)


def random_turn(images: tf.Tensor, random: StepRandom, view: str) -> tf.Tensor:
    """Turns each image by 0, 90, 180 or 270 degrees, mirrored or not, all equally likely."""
    noise = random.uniform(f"{view}: turn", tf.shape(images)[0], ())
    return resampling.turn(images, tf.cast(resampling.TURNS * noise, tf.int32))


def random_rotation(images: tf.Tensor, random: StepRandom, view: str, degrees: float) -> tf.Tensor:
    """Rotates each image about its centre by up to that many degrees to either side, uniformly."""
    noise = random.uniform(f"{view}: rotation", tf.shape(images)[0], ())
    most = math.radians(degrees)
    return resampling.rotate(images, resampling.between(-most, most, noise))


def random_blur(images: tf.Tensor, random: StepRandom, view: str) -> tf.Tensor:
    """Standard deviation of each image's blur in pixels, float32 [N]; 0 (no blur) for half of them.

    For the others it is uniform, up to the larger of 0.75 and a hundredth of the longer side.
    """
    n = tf.shape(images)[0]
    most = max(BLUR_FRACTION * max(images.shape[1:3]), BLUR_PIXELS)
    sigma = most * random.uniform(f"{view}: blur", n, ())
    blurred = color_jitter.bernoulli(BLUR_PROBABILITY, n, f"{view}: blurred", random)
    return tf.where(blurred, sigma, 0.0)


def random_resized_crop(
    images: tf.Tensor,
    random: StepRandom,
    view: str,
    min_scale: float = MIN_CROP_SCALE,
    sigma: tf.Tensor | None = None,
) -> tf.Tensor:
    """A crop of each image with random position, area and shape, resized to H x W.

    Args:
        images: float32 [N, H, W, C].
        random: Random numbers of the step.
        view: Name of the view.
        min_scale: The smallest area as a fraction of the image's.
        sigma: Standard deviation of a blur, as for `resampling.resized_crop`.
    """
    noise = random.uniform(f"{view}: crop", tf.shape(images)[0], (4,))
    boxes = resampling.crop_boxes(noise, images.shape[1], images.shape[2], min_scale)
    return resampling.resized_crop(images, boxes, sigma)
