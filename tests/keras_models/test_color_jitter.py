"""Brightness, contrast, saturation and hue, compared with a conversion to YIQ."""

import colorsys

import numpy as np
import pytest

from keras_models import color_jitter
from keras_models.distribute.randomness import StepRandom

RANDOM = StepRandom(seed=0, step=3)


def make_images(n=8, height=12, width=10, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, height, width, channels)).astype(np.float32)


def golden_colors(image, brightness, contrast, saturation, hue):
    """One image, one step after the other, on [0, 1]."""
    x = (image.astype(np.float64) + 1) / 2
    x = x * brightness
    mean = (x @ [0.299, 0.587, 0.114]).mean() if x.shape[-1] == 3 else x.mean((0, 1))
    x = mean + (x - mean) * contrast
    if x.shape[-1] == 3:
        yiq = np.array(
            [
                [0.299, 0.587, 0.114],
                [0.595716, -0.274453, -0.321263],
                [0.211456, -0.522591, 0.311135],
            ]
        )
        luma, *chroma = np.moveaxis(x @ yiq.T, -1, 0)
        turned = saturation * (chroma[0] + 1j * chroma[1]) * np.exp(2j * np.pi * hue)
        x = np.stack([luma, turned.real, turned.imag], -1) @ np.linalg.inv(yiq).T
    return np.clip(x, 0, 1) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_adjusted_colors(channels):
    images = make_images(channels=channels)
    rng = np.random.default_rng(1)
    factors = rng.uniform([0.6, 0.6, 0, -0.2], [1.4, 1.4, 1.4, 0.2], (8, 4)).astype(np.float32)
    adjusted = color_jitter.adjust_colors(images, *factors.T)
    for image, numbers, result in zip(images, factors, adjusted, strict=True):
        np.testing.assert_allclose(result, golden_colors(image, *numbers), atol=1e-5)
    assert np.abs(adjusted).max() == 1  # some were clipped


def adjusted(pixel, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0):
    """A pixel in [0, 1], of an image with a black and a white one beside it."""
    image = np.array([[[pixel, [0, 0, 0], [1, 1, 1]]]], np.float32) * 2 - 1
    factors = [np.array([x], np.float32) for x in (brightness, contrast, saturation, hue)]
    return (color_jitter.adjust_colors(image, *factors).numpy() + 1)[0, 0] / 2


def test_no_change_of_the_colors():
    np.testing.assert_allclose(adjusted([0.2, 0.4, 0.9])[0], [0.2, 0.4, 0.9], atol=1e-6)


def test_brightness_multiplies():
    np.testing.assert_allclose(adjusted([0.2, 0.4, 0.9], 0.5)[0], [0.1, 0.2, 0.45], atol=1e-6)
    np.testing.assert_allclose(adjusted([0.2, 0.4, 0.9], 1.4)[0], [0.28, 0.56, 1], atol=1e-6)


def test_without_contrast_all_is_the_mean_luma():
    """Of a grey image: with chroma, that stays with the mean's, which is no colour."""
    np.testing.assert_allclose(adjusted([0.5] * 3, contrast=0.0), np.full((3, 3), 0.5), atol=1e-6)
    np.testing.assert_allclose(adjusted([0.2] * 3, contrast=0.5)[0], [0.3] * 3, atol=1e-6)


def test_without_saturation_all_is_its_luma():
    luma = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.9
    np.testing.assert_allclose(adjusted([0.2, 0.4, 0.9], saturation=0.0)[0], luma, atol=1e-6)


def test_hue_turns_about_as_far_as_in_hsv():
    """And grey stays grey."""
    before = [0.6, 0.4, 0.4]
    after = adjusted(before, hue=-0.1)
    turned = colorsys.rgb_to_hsv(*after[0])[0] - colorsys.rgb_to_hsv(*before)[0]
    assert abs(abs((turned + 0.5) % 1 - 0.5) - 0.1) < 0.05
    np.testing.assert_allclose(after[1:], [[0] * 3, [1] * 3], atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_random_color_jitter(strength):
    """The factors' ranges and fractions, read off the pixels of images that are never clipped."""
    n = 2000
    colour = np.array([0.1, 0.0, -0.05], np.float32)
    dark, bright = np.full((n, 1, 1, 3), -0.2, np.float32), np.full((n, 1, 1, 3), 0.0, np.float32)
    images = np.concatenate([dark, bright, bright + colour], axis=2)
    changed = color_jitter.random_color_jitter(images, RANDOM, "local view", strength).numpy()
    same = np.abs(changed - images).max((1, 2, 3)) < 1e-6
    dark, bright, coloured = np.moveaxis(changed[:, 0], 1, 0)

    chroma = (coloured - bright) @ (color_jitter.YIQ.T @ [[0, 0], [1, 0], [0, 1]])
    was = colour @ (color_jitter.YIQ.T @ [[0, 0], [1, 0], [0, 1]])
    length = np.linalg.norm(chroma, axis=1) / np.linalg.norm(was)
    gray = length < 1e-4
    np.testing.assert_allclose(gray.mean(), 0.25 * strength, atol=0.03)
    np.testing.assert_allclose(np.ptp(changed[gray], axis=-1), 0, atol=1e-6)
    assert 0.17 < same[~gray].mean() < 0.23

    jittered = ~gray & ~same
    scale = (bright - dark)[:, 0] / 0.2  # brightness · contrast
    luma = color_jitter.LUMA
    mean = (images @ luma).mean()
    brightness = ((changed @ luma).mean((1, 2)) + 1) / (mean + 1)
    contrast = scale / brightness
    saturation = length / scale
    hue = np.angle((chroma @ [1, 1j]) / (was @ [1, 1j])) / (2 * np.pi)
    for name, factor, middle, most in [
        ("brightness", brightness, 1, 0.4),
        ("contrast", contrast, 1, 0.4),
        ("saturation", saturation, 1, 0.4),
        ("hue", hue, 0, 0.2),
    ]:
        quantiles = np.quantile(factor[jittered], [0, 0.25, 0.5, 0.75, 1])
        expected = middle + strength * most * np.array([-1, -0.5, 0, 0.5, 1])
        np.testing.assert_allclose(quantiles, expected, atol=0.03, err_msg=name)
    factors = np.array([brightness, contrast, saturation, hue])[:, jittered]
    np.testing.assert_allclose(np.corrcoef(factors), np.eye(4), atol=0.12)


def test_one_channel_knows_brightness_and_contrast_alone():
    images = make_images(200, channels=1)
    changed = color_jitter.random_color_jitter(images, RANDOM, "local view")
    assert changed.shape == images.shape
    same = np.abs(changed - images).max((1, 2, 3)) < 1e-6
    assert 0.1 < same.mean() < 0.3


def golden_stains(image, factors):
    """One image, its amounts of stains solved for and multiplied."""
    light = np.maximum((image.astype(np.float64) + 1) / 2, 1 / 255)
    stains = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    amounts = np.linalg.solve(stains.T, -np.log(light).reshape(-1, 3).T).T
    changed = np.exp(-(amounts * factors) @ stains).reshape(image.shape)
    return np.minimum(changed, 1) * 2 - 1


def test_adjusted_stains():
    images = make_images()
    factors = np.random.default_rng(1).uniform(0.7, 1.3, (8, 3)).astype(np.float32)
    adjusted = color_jitter.adjust_stains(images, factors)
    for image, numbers, result in zip(images, factors, adjusted, strict=True):
        np.testing.assert_allclose(result, golden_stains(image, numbers), atol=1e-4)


def test_white_is_no_stain_and_stays():
    white = np.ones((1, 2, 2, 3), np.float32)
    adjusted = color_jitter.adjust_stains(white, np.full((1, 3), 0.5, np.float32))
    np.testing.assert_allclose(adjusted, white, atol=1e-6)


def test_stains_are_of_rgb_images():
    ranges = color_jitter.ColorRanges(stains=0.3)
    for channels in (1, 3):
        images = make_images(200, channels=channels)
        changed = color_jitter.random_color_jitter(images, RANDOM, "v", 1.0, ranges)
        difference = np.abs(changed - images).max((1, 2, 3))
        is_changed = difference > 0.03  # black, which is not quite black, changes by 0.008
        assert is_changed.mean() == 0 if channels == 1 else 0.7 < is_changed.mean() < 0.9
