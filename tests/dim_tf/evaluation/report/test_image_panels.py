"""The images on the page have the pixels of the figures."""

import numpy as np
import pytest
from sample_report import decode_images, neighbours, random_images

from dim_tf.evaluation.figures import (
    NeighbourPanel,
    PatchMaps,
    Reconstructions,
    SampleGrid,
)
from dim_tf.evaluation.report import image_panels


@pytest.mark.parametrize("channels", [1, 3])
def test_neighbours_have_the_pixels_of_the_figure(channels):
    figure = neighbours(channels)
    pixels = np.concatenate([figure.queries[:, None], figure.neighbours], axis=1)
    expected = pixels.reshape(8, 6, 5, channels)
    images = [p.reshape(6, 5, channels) for p in decode_images(image_panels.neighbours(figure))]
    np.testing.assert_array_equal(images, expected)


def test_labels_of_neighbours_can_be_read_without_colour():
    same = np.array([[True, False, False], [True, True, False]])
    panel = image_panels.neighbours(neighbours(3, same))
    assert panel.count(', same label"') == 3
    assert panel.count(', other label"') == 3
    assert "✓ same label (3 of these 6)" in panel


@pytest.mark.parametrize(("dtype", "channels"), [(np.float32, 3), (np.uint8, 4)])
def test_wrong_images_are_refused(dtype, channels):
    wrong = np.zeros((1, 2, 8, 8, channels), dtype)
    with pytest.raises(ValueError, match="expected uint8"):
        image_panels.neighbours(NeighbourPanel("wrong", wrong[:, 0], wrong, None))
    with pytest.raises(ValueError, match="expected uint8"):
        image_panels.samples(SampleGrid("wrong", wrong[0]))


@pytest.mark.parametrize("count", [9, 10])
def test_samples_are_one_image_of_all(count):
    """Row by row, one white pixel between images and below the last."""
    samples = random_images(count)
    panel = image_panels.samples(SampleGrid("generated images", samples))
    (sheet,) = decode_images(panel)
    across = 3 if count == 9 else 4
    assert sheet.shape == (7 * 3, 6 * across, 3)
    for i, image in enumerate(samples):
        top, left = 7 * (i // across), 6 * (i % across)
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], image)
    assert (sheet[6::7] == 255).all()
    assert f'alt="{count} generated images"' in panel


def test_reconstructions_stand_under_their_originals():
    originals, reconstructed = random_images(3), random_images(3, seed=1)
    panel = image_panels.reconstructions(Reconstructions("from global", originals, reconstructed))
    images = decode_images(panel)
    np.testing.assert_array_equal(images[0::2], originals)
    np.testing.assert_array_equal(images[1::2], reconstructed)
    error = np.mean((originals / 255 - reconstructed / 255) ** 2)
    assert f"{error:.4f}" in panel


def test_reconstructions_must_be_as_many_as_originals():
    with pytest.raises(ValueError, match="shorter"):
        image_panels.reconstructions(
            Reconstructions("from global", random_images(3), random_images(2))
        )


def test_local_maps_stand_under_their_images_cell_by_cell():
    images, maps = random_images(3), random_images(3, seed=1)
    page = image_panels.patch_maps(PatchMaps("local map", images, maps, (0.514, 0.2, 0.0)))
    shown = decode_images(page)
    for n in range(3):
        np.testing.assert_array_equal(shown[2 * n], images[n])
        np.testing.assert_array_equal(shown[2 * n + 1], maps[n])
    assert "of 6 × 5 locations" in page
    assert "which explain 51 %, 20 %, 0 % of the variance" in page
