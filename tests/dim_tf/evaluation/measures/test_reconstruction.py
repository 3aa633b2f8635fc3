"""Reconstructions: a feature that tells the image gives it back, others give the mean image."""

import numpy as np
import pytest
import tensorflow as tf

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures.reconstruction import Reconstruction, ms_ssim, scale_weights
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError

CLASSES = 4


def patterns(shape, train=128, test=64):
    """Images that are one of four patterns."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, (CLASSES, 4, 4, 1)) * 180 + 30
    height, width, channels = shape
    kinds = kinds.repeat(height // 4, 1).repeat(width // 4, 2).repeat(channels, 3)

    def split(count):
        labels = rng.integers(0, CLASSES, count)
        return EvaluationSplit(kinds[labels].astype(np.uint8), labels)

    return EvaluationData(split(train), split(test), tuple("abcd"), "synthetic")


def measured(kind, shape=(16, 16, 1), **settings):
    data = patterns(shape)
    rng = np.random.default_rng(1)

    def features(split):
        one_hot = np.eye(CLASSES)[split.labels]
        vectors = {
            "ideal": one_hot,
            "duplicated": np.concatenate([one_hot, one_hot], axis=1),
            "constant": np.ones((len(split), 3)),
            "random": rng.normal(size=(len(split), 4)),
        }[kind]
        return {"global": vectors.astype(np.float32)}

    settings = {"steps": 60, "batch_size": 32, "width_divisor": 8, **settings}
    measure = Reconstruction(
        Representation(features(data.train), features(data.test), data), **settings
    )
    return {result.metric: result for result in measure.run()}, measure, data


def variance(data):
    """The error of the mean image."""
    pixels = data.train.images / 255.0
    return np.mean((pixels - pixels.mean(0)) ** 2)


@pytest.mark.parametrize("kind", ["ideal", pytest.param("duplicated", marks=pytest.mark.slow)])
def test_what_tells_the_image_gives_it_back(kind):
    results, measure, data = measured(kind)
    assert results["ms_ssim"].value > 0.9
    assert results["reconstruction_error"].value < 0.25 * variance(data)
    low, high = results["ms_ssim"].uncertainty.ci95
    assert low <= results["ms_ssim"].value <= high
    (figure,) = measure.figures()
    np.testing.assert_array_equal(figure.originals, data.test.images[:16])
    assert figure.reconstructed.dtype == np.uint8
    assert np.abs(figure.reconstructed.astype(int) - figure.originals).mean() < 40


@pytest.mark.parametrize("kind", ["constant", "random"])
def test_what_tells_nothing_gives_the_mean_image(kind):
    results, _, data = measured(kind)
    assert results["reconstruction_error"].value > 0.8 * variance(data)
    assert results["ms_ssim"].value < 0.7


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3)])
def test_shapes(shape):
    results, measure, _ = measured("ideal", shape, steps=2, batch_size=4, width_divisor=16)
    assert 0 <= results["ms_ssim"].value <= 1
    assert measure.figures()[0].reconstructed.shape == (16, *shape)
    weights = measure.protocol["ms_ssim"]
    assert "0.071, 0.453, 0.476" in weights
    assert "not comparable" in weights


@pytest.mark.slow
def test_seeds_repeat():
    first, again, other = (
        measured("ideal", steps=3, seed=seed)[0]["reconstruction_error"].value for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_ms_ssim_of_equal_and_of_worse_images():
    rng = np.random.default_rng(0)
    smooth = tf.image.resize(rng.uniform(0.2, 0.8, (4, 8, 8, 3)).astype(np.float32), [32, 32])
    noise = rng.normal(size=smooth.shape).astype(np.float32)
    values = [ms_ssim(smooth, smooth + s * noise).numpy().mean() for s in (0.0, 0.03, 0.1, 0.3)]
    assert values[0] == pytest.approx(1.0)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.6


def test_ms_ssim_is_multi_scale():
    """Against its definition: contrast and structure at each scale, luminance at the last."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(1, 28, 28, 1)).astype(np.float32)
    y = np.clip(x + 0.1 * rng.normal(size=x.shape), 0, 1).astype(np.float32)
    value = ms_ssim(tf.constant(x), tf.constant(y)).numpy()
    at = np.arange(7) - 3
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(z):
        return tf.nn.conv2d(z, window[..., None, None].astype(np.float32), 1, "VALID").numpy()

    expected = 1.0
    weights = scale_weights((28, 28))
    for scale, weight in enumerate(weights):
        covariance = mean(x * y) - mean(x) * mean(y)
        variances = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
        structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
        luminance = (2 * mean(x) * mean(y) + 0.01**2) / (mean(x) ** 2 + mean(y) ** 2 + 0.01**2)
        last = scale == len(weights) - 1
        expected *= (structure * luminance if last else structure).mean() ** weight
        x, y = (tf.nn.avg_pool2d(z, 2, 2, "VALID").numpy() for z in (x, y))
    assert value == pytest.approx([expected], abs=1e-4)


def test_scales_that_fit():
    assert sum(scale_weights((32, 32))) == pytest.approx(1)
    assert len(scale_weights((28, 28))) == 3
    assert len(scale_weights((16, 16))) == 2
    with pytest.raises(RunError, match=r"left out.*larger --image_size"):
        scale_weights((6, 6))
