"""Perturbed copies of images."""

import numpy as np
import pytest

from dim_tf.evaluation import perturbations
from dim_tf.evaluation.perturbations import perturb, quadrants, rotations


def images(n=6, height=16, width=16, channels=3):
    """Smooth ones, without symmetries."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(5 * x * (i + 1) + 3 * y + i) for i in range(n * channels)]
    pixels = 127.5 + 100 * np.stack(waves).reshape(n, channels, height, width)
    return pixels.transpose(0, 2, 3, 1).astype(np.uint8)


@pytest.mark.parametrize("name", perturbations.PERTURBATIONS)
@pytest.mark.parametrize("shape", [(16, 16, 3), (12, 20, 1)])
def test_a_copy_differs_and_is_the_same_for_the_same_seed(name, shape):
    originals = images(4, *shape)
    copies = perturb(originals, name)
    assert (copies.shape, copies.dtype) == (originals.shape, np.uint8)
    assert np.abs(copies.astype(int) - originals).mean() > 1
    np.testing.assert_array_equal(copies, perturb(originals, name))
    if name not in ("blurred", "inverted"):
        assert (copies != perturb(originals, name, seed=1)).any()


def test_a_negative_is_exact():
    originals = images()
    np.testing.assert_array_equal(perturb(originals, "inverted"), 255 - originals)


def test_a_tilt_keeps_the_centre_and_moves_the_edges():
    originals = images(height=17, width=17)
    copies = perturb(originals, "tilted").astype(int)
    differences = np.abs(copies - originals)
    assert differences[:, 8, 8].max() <= 1
    assert differences[:, 0].mean() > 5 * max(differences[:, 8, 8].mean(), 0.2)


def test_chunks_change_nothing_of_what_is_not_random(monkeypatch):
    originals = images()
    whole = perturb(originals, "blurred")
    monkeypatch.setattr(perturbations, "CHUNK_SIZE", 4)
    np.testing.assert_array_equal(perturb(originals, "blurred"), whole)


def test_rotations_of_squares_and_of_others():
    square, wide = images(2), images(2, 12, 20)
    turned = rotations(square)
    assert turned.shape == (4, 2, 16, 16, 3)
    np.testing.assert_array_equal(turned[0], square)
    np.testing.assert_array_equal(turned[1][:, 0, 0], square[:, 0, -1])
    assert len({turn.tobytes() for turn in turned}) == 4
    np.testing.assert_array_equal(rotations(wide), np.stack([wide, wide[:, ::-1, ::-1]]))


def test_quadrants_are_the_parts_of_the_image_enlarged():
    originals = np.repeat(np.repeat(images(2, 2, 3), 8, axis=1), 8, axis=2)[:, :, 4:20]
    parts = quadrants(originals)
    assert parts.shape == (4, *originals.shape)
    for part, (row, column) in zip(parts, [(0, 0), (0, -1), (-1, 0), (-1, -1)], strict=True):
        np.testing.assert_array_equal(part[:, row, column], originals[:, row, column])
    assert (parts[3][:, 0, 0] == originals[:, 8, 8]).all()
