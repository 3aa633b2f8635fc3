"""The features of Coates et al. 2011 against a twin that loops over patches."""

import numpy as np
import pytest
import tensorflow as tf

from keras_models.classical import kmeans_features
from keras_models.classical.encoders import PatchPrototypeEncoder

SHAPE = (9, 8, 3)
CENTROIDS = 5


def images(count=6, shape=SHAPE):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, *shape)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    patches = kmeans_features.random_patches(images(), 300, 4, seed=1)
    return kmeans_features.fit(patches, CENTROIDS, seed=2)


def features_of(image, fitted, size, stride):
    """Local map and global feature of one image."""
    pixels = (image.astype(np.float64) + 1) * 127.5
    down, across = ((side - size) // stride + 1 for side in image.shape[:2])
    local = np.zeros((down, across, CENTROIDS))
    for row in range(down):
        for column in range(across):
            top, left = row * stride, column * stride
            patch = pixels[top : top + size, left : left + size].ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10)
            white = (patch - fitted.mean) @ fitted.whitening
            distances = np.linalg.norm(white - fitted.centroids, axis=1)
            local[row, column] = np.maximum(0, distances.mean() - distances)
    top, left = local[: down // 2], local[down // 2 :]
    quadrants = [
        half[:, part] for half in (top, left) for part in np.split(np.arange(across), [across // 2])
    ]
    return local, np.concatenate([quadrant.sum((0, 1)) for quadrant in quadrants])


@pytest.mark.parametrize("stride", [1, 2])
def test_the_encoder_is_the_plain_twin(fitted, stride):
    encoder = PatchPrototypeEncoder(SHAPE, CENTROIDS, patch=4, stride=stride)
    encoder.build()
    encoder.assign(fitted.whitening, fitted.mean, fitted.centroids)
    outputs = encoder(tf.constant(images(2)))
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        name: (2, *shape[1:]) for name, shape in encoder.endpoint_shapes().items()
    }
    for index, image in enumerate(images(2)):
        local, summed = features_of(image, fitted, 4, stride)
        np.testing.assert_allclose(outputs["local"][index], local, atol=2e-4)
        np.testing.assert_allclose(outputs["global"][index], summed, rtol=1e-3, atol=1e-3)


def test_patches_are_parts_of_images():
    drawn = images(3)
    patches = kmeans_features.random_patches(drawn, 50, 4, seed=0)
    assert patches.shape == (50, 48)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (4, 4), axis=(1, 2))
    windows = np.moveaxis(windows, 3, -1).reshape(-1, 48)  # rows, columns, channels
    everything = {tuple(np.round((row + 1) * 127.5, 2)) for row in windows}
    assert {tuple(np.round(row, 2)) for row in patches} <= everything
    again = kmeans_features.random_patches(drawn, 50, 4, seed=0)
    np.testing.assert_array_equal(patches, again)


def test_whitened_patches_have_nearly_the_identity_as_covariance():
    rng = np.random.default_rng(0)
    x = 5 * rng.normal(size=(3000, 6)) @ rng.normal(size=(6, 6)) + 3
    mean, whitening = kmeans_features.zca(x)
    np.testing.assert_allclose(whitening, whitening.T, atol=1e-10)
    white = (x - mean) @ whitening
    variances = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    expected = variances / (variances + 0.1)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(white, rowvar=False)), np.sort(expected))


def test_centroids_are_means_of_their_patches(fitted):
    patches = kmeans_features.random_patches(images(), 300, 4, seed=1)
    white = (kmeans_features.normalized(patches) - fitted.mean) @ fitted.whitening
    squares = ((white[:, None] - fitted.centroids) ** 2).sum(2)
    for number, centroid in enumerate(fitted.centroids):
        own = white[squares.argmin(1) == number]
        np.testing.assert_allclose(own.mean(0), centroid, atol=1e-3)
    assert fitted.inertia == pytest.approx(squares.min(1).mean(), rel=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"5x8 pixels have not two patches of 5 pixels"):
        PatchPrototypeEncoder((5, 8, 3), CENTROIDS, patch=5)
    with pytest.raises(ValueError, match="3 patches are fewer than 5 centroids"):
        kmeans_features.fit(np.zeros((3, 12), np.float32), 5)
