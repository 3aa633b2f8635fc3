"""Crops, blur, rotation and turns, compared with TensorFlow, NumPy and SciPy."""

import math

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from keras_models import resampling
from keras_models.distribute.randomness import StepRandom

RANDOM = StepRandom(seed=0, step=3)


def make_images(n=8, height=12, width=10, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, height, width, channels)).astype(np.float32)


def test_the_identity_crop_is_the_image():
    images = make_images()
    boxes = tf.tile([[0.0, 0.0, 12.0, 10.0]], [8, 1])
    np.testing.assert_array_equal(resampling.resized_crop(images, boxes), images)


def test_a_crop_of_whole_pixels_is_resized_as_tensorflow_does():
    images = make_images(5)
    boxes = [[0, 0, 12, 10], [2, 3, 7, 4], [5, 0, 1, 10], [11, 9, 1, 1], [0, 5, 12, 5]]
    crops = resampling.resized_crop(images, tf.constant(boxes, tf.float32))
    for image, (top, left, height, width), crop in zip(images, boxes, crops, strict=True):
        part = image[top : top + height, left : left + width]
        np.testing.assert_allclose(crop, tf.image.resize(part, (12, 10)), atol=1e-6)


def test_a_crop_between_pixels_is_that_of_crop_and_resize():
    """Which samples a grid with corners on the first and last sources, H - 1 and W - 1 apart."""
    images = make_images()
    boxes = resampling.crop_boxes(RANDOM.uniform("crop", 8, (4,)), 12, 10, 0.3)
    top, left, height, width = tf.unstack(boxes, axis=1)

    def ends(first, length, size):
        inset = length / size / 2 - 0.5  # of the first pixel's centre from the box's edge
        return (first + inset) / (size - 1), (first + length - 1 - inset) / (size - 1)

    (y0, y1), (x0, x1) = ends(top, height, 12), ends(left, width, 10)
    expected = tf.image.crop_and_resize(
        images, tf.stack([y0, x0, y1, x1], 1), tf.range(8), (12, 10)
    )
    # Sources between a box's edge and its first pixel's centre are clipped to the latter here.
    inner = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(
        resampling.resized_crop(images, boxes).numpy()[inner], expected.numpy()[inner], atol=1e-4
    )


def test_crop_boxes():
    noise = RANDOM.uniform("crop", 4000, (4,))
    top, left, height, width = resampling.crop_boxes(noise, 40, 30, 0.3).numpy().T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 40 + 1e-4
    assert (left + width).max() <= 30 + 1e-4
    whole = (height < 40) & (width < 30)  # sides that were not cut
    area, aspect = (height * width / 1200)[whole], (width / height)[whole]
    assert 0.3 <= area.min() < 0.31
    assert area.max() > 0.95
    assert 0.7 - 1e-4 <= aspect.min() < 0.71
    assert 1.39 < aspect.max() <= 1.4 + 1e-4
    # Small boxes always fit, so that their shapes and positions show how they are drawn.
    small = area < 0.5
    np.testing.assert_allclose(np.median(np.log(aspect[small])), math.log(0.98) / 2, atol=0.03)
    slack = top[whole] / (40 - height[whole]), left[whole] / (30 - width[whole])
    for fraction in slack:
        np.testing.assert_allclose(
            np.quantile(fraction, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03
        )
    correlations = np.corrcoef(np.array([*slack, area, aspect])[:, small])
    np.testing.assert_allclose(correlations, np.eye(4), atol=0.12)


@pytest.mark.parametrize("min_scale", [0.08, 0.8])
def test_the_smallest_crop(min_scale):
    """Of the widest aspects sides may be cut; of the others the area is uniform up to the whole."""
    noise = RANDOM.uniform("crop", 4000, (4,))
    _, _, height, width = resampling.crop_boxes(noise, 40, 40, min_scale).numpy().T
    whole = (height < 40) & (width < 40)
    area = (height * width / 1600)[whole]
    assert min_scale <= area.min() < min_scale + 0.02
    expected = min_scale + (1 - min_scale) * noise[:, 0].numpy()[whole]
    np.testing.assert_allclose(area, expected, rtol=1e-4)


def test_crop_boxes_of_tiny_images_have_a_pixel_at_least():
    boxes = resampling.crop_boxes(RANDOM.uniform("crop", 100, (4,)), 1, 2, 0.3)
    np.testing.assert_array_equal(boxes[:, 2], 1)
    assert np.isfinite(resampling.resized_crop(make_images(100, 1, 2), boxes)).all()


def golden_blur(image, sigma):
    """SciPy's blur of one image, its weights outside of the image left out."""

    def blurred(x):
        sides = (sigma, sigma, 0)
        return scipy.ndimage.gaussian_filter(x, sides, mode="constant", truncate=20)

    return blurred(image.astype(np.float64)) / blurred(np.ones_like(image, np.float64))


def test_a_blur_is_that_of_scipy():
    images = make_images(5)
    sigmas = np.array([0.3, 0.75, 1.0, 2.24, 5.0], np.float32)
    blurred = resampling.gaussian_blur(images, sigmas)
    for image, sigma, result in zip(images, sigmas, blurred, strict=True):
        np.testing.assert_allclose(result, golden_blur(image, sigma), atol=1e-5)


def test_a_blur_of_0_pixels_is_none():
    images = make_images(2)
    np.testing.assert_array_equal(resampling.gaussian_blur(images, np.zeros(2, np.float32)), images)


def test_a_blurred_crop_is_a_crop_and_then_a_blur():
    images = make_images(6)
    boxes = resampling.crop_boxes(RANDOM.uniform("crop", 6, (4,)), 12, 10, 0.3)
    sigmas = tf.constant([0.0, 0.2, 0.5, 1.0, 2.0, 3.0])
    expected = resampling.gaussian_blur(resampling.resized_crop(images, boxes), sigmas)
    np.testing.assert_allclose(resampling.resized_crop(images, boxes, sigmas), expected, atol=1e-6)


def golden_rotation(image, angle):
    """SciPy's bilinear samples of one image, rotated counter-clockwise."""
    height, width, channels = image.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    sources = (
        np.cos(angle) * y + np.sin(angle) * x + (height - 1) / 2,
        np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2,
    )
    return np.stack(
        [
            scipy.ndimage.map_coordinates(image[..., c], sources, order=1, mode="mirror")
            for c in range(channels)
        ],
        axis=-1,
    )


@pytest.mark.parametrize("shape", [(12, 12, 3), (12, 10, 1), (3, 16, 5), (1, 7, 2)])
def test_a_rotation_is_that_of_scipy(shape):
    images = make_images(7, *shape)
    angles = np.array([0, 0.05, -0.1, 1.0, -2.0, 3.0, 5.0], np.float32)
    for image, angle, result in zip(images, angles, resampling.rotate(images, angles), strict=True):
        np.testing.assert_allclose(result, golden_rotation(image, angle), atol=1e-4)


def test_quarter_turns_are_numpys():
    images = make_images(4, 9, 9)
    angles = np.arange(4, dtype=np.float32) * np.float32(math.pi / 2)
    rotated = resampling.rotate(images, angles)
    for image, quarters, result in zip(images, range(4), rotated, strict=True):
        np.testing.assert_allclose(result, np.rot90(image, quarters), atol=1e-5)


def test_turns_are_the_eight_symmetries_of_a_square():
    images = np.repeat(make_images(1, 5, 5), 8, axis=0)
    turned = resampling.turn(images, np.arange(8))
    quarters = [np.rot90(images[0], k) for k in range(4)]
    symmetries = {x.tobytes() for x in (*quarters, *(x[:, ::-1] for x in quarters))}
    assert len(symmetries) == 8
    assert {image.tobytes() for image in turned.numpy()} == symmetries
    np.testing.assert_array_equal(turned[0], images[0])


def test_images_that_are_not_square_are_mirrored_only():
    images = np.repeat(make_images(1, 4, 6), 8, axis=0)
    turned = resampling.turn(images, np.arange(8)).numpy()
    image = images[0]
    mirrored = [image, image[:, ::-1], image[::-1], image[::-1, ::-1]]
    np.testing.assert_array_equal(turned, np.stack([*mirrored, *mirrored]))
