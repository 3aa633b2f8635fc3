"""Random changes of colours: brightness, contrast, saturation, hue, grayscale, stains."""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.resampling import between

JITTER_PROBABILITY = 0.8  # as in AMDIM's published code

# Rows: Y, which is the luma of Rec. 601, and the chroma, I and Q.
YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]],
    np.float32,
)
LUMA = YIQ[0]
# Optical density of red, green and blue. Rows: haematoxylin, eosin, DAB (Ruifrok & Johnston 2001,
# Quantification of histochemical staining by color deconvolution).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
DARKEST = 1 / 255  # of pixels in [0, 1], whose density is finite


@dataclass(frozen=True)
class ColorRanges:
    """How far colour jitter of strength 1 goes. A factor is uniform in 1 ± its range.

    Attributes:
        brightness: Range of the factor of all pixels.
        contrast: Range of the factor of the pixels' difference from the image's mean.
        saturation: Range of the factor of the chroma.
        hue: Largest rotation of the chroma to either side, in full turns.
        grayscale: Probability of grayscale.
        stains: Range of the factor of the amount of each stain.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    stains: float = 0.0


# Parameters of AMDIM's published code for STL-10 and ImageNet.
AMDIM = ColorRanges(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, grayscale=0.25)


def random_color_jitter(
    images: tf.Tensor,
    random: StepRandom,
    view: str,
    strength: float = 1.0,
    ranges: ColorRanges = AMDIM,
) -> tf.Tensor:
    """Jitters the colours of each image with probability 0.8, then maybe makes it grey.

    Grayscale means saturation 0, which leaves the luma of Rec. 601. See `adjust_colors` and
    `adjust_stains`. For images that are not RGB, only brightness and contrast change.

    Args:
        images: float32 [N, H, W, C] in [-1, 1].
        random: Random numbers of the step.
        view: Name of the view; each view has its own noise.
        strength: Factor of the ranges and of the probability of grayscale.
        ranges: Ranges at strength 1.
    """
    n = tf.shape(images)[0]
    jittered = bernoulli(JITTER_PROBABILITY, n, f"{view}: jittered", random)[:, tf.newaxis]
    if ranges.stains and images.shape[-1] == 3:
        change = between(-strength, strength, random.uniform(f"{view}: stains", n, (3,)))
        images = adjust_stains(images, 1 + ranges.stains * tf.where(jittered, change, 0.0))
    # The purpose "colours" is part of the seed, whatever the setting is called.
    noise = between(-strength, strength, random.uniform(f"{view}: colours", n, (4,)))
    change = tf.where(jittered, noise, tf.zeros_like(noise))
    saturation = 1 + ranges.saturation * change[:, 2]
    gray = bernoulli(strength * ranges.grayscale, n, f"{view}: grayscale", random)
    return adjust_colors(
        images,
        brightness=1 + ranges.brightness * change[:, 0],
        contrast=1 + ranges.contrast * change[:, 1],
        saturation=tf.where(gray, tf.zeros_like(saturation), saturation),
        hue=ranges.hue * change[:, 3],
    )


def adjust_colors(images, brightness, contrast, saturation, hue) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue, in that order.

    On the scale [0, 1], where black is 0, brightness multiplies the pixels, contrast multiplies
    their difference from the image's mean luma, saturation multiplies the chroma (I and Q of YIQ),
    and hue rotates the chroma. The result is clipped once. Images that are not RGB have no chroma,
    and contrast multiplies the difference from each channel's mean.

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
    # maps b·u to m + c·(b·u - m), and changes of the chroma leave m as it is.
    scale = contrast * brightness
    if channels == 3:
        change = scale[:, tf.newaxis, tf.newaxis] * _chroma_change(saturation, hue)
        pixels = tf.matmul(pixels, change, transpose_b=True)
        mean = mean @ LUMA[:, np.newaxis]  # [N, 1]
    else:
        pixels *= scale[:, tf.newaxis, tf.newaxis]
    scale, brightness = scale[:, tf.newaxis], brightness[:, tf.newaxis]
    offset = scale + (brightness - scale) * (mean + 1) - 1  # [N, 1 or C]
    pixels = tf.clip_by_value(pixels + offset[:, tf.newaxis], -1.0, 1.0)
    return tf.reshape(pixels, [n, height, width, channels])


def adjust_stains(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Changes the amount of each stain (Tellez et al. 2019).

    https://arxiv.org/abs/1902.06543. Light that passes through stained tissue is exp(-density), and
    the densities of stains add up: density = amounts · STAINS. So factors of the amounts are a
    linear map of the density, inverse(STAINS) · diag(factors) · STAINS.

    Args:
        images: float32 [N, H, W, 3] in [-1, 1].
        factors: float32 [N, 3], of haematoxylin, eosin and DAB.

    Returns:
        float32 [N, H, W, 3] in [-1, 1].
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    pixels = tf.reshape((images + 1) / 2, [n, height * width, channels])
    density = -tf.math.log(tf.maximum(pixels, DARKEST))
    change = np.linalg.inv(STAINS) @ (factors[:, :, tf.newaxis] * STAINS)  # [N, 3, 3]
    light = tf.minimum(tf.exp(-(density @ change)), 1.0)
    return tf.reshape(2 * light - 1, [n, height, width, channels])


def _chroma_change(saturation, hue):
    """Matrices [N, 3, 3] on RGB that scale and rotate I and Q of YIQ and keep Y."""
    angle = 2 * math.pi * hue
    one, zero = tf.ones_like(angle), tf.zeros_like(angle)
    cosine, sine = saturation * tf.cos(angle), saturation * tf.sin(angle)
    rows = [[one, zero, zero], [zero, cosine, -sine], [zero, sine, cosine]]
    change = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    return np.linalg.inv(YIQ) @ change @ YIQ


def bernoulli(probability: float, n, purpose: str, random: StepRandom) -> tf.Tensor:
    """Bool [n], true with that probability."""
    return random.uniform(purpose, n, ()) < probability
