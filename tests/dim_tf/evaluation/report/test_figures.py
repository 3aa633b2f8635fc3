"""Pictures have the pixels that were given; matrices tell what is confused."""

import re

import numpy as np
import pytest
from sample_report import decoded, images, neighbours, row

from dim_tf.evaluation.pictures import (
    ConfusionMatrix,
    NeighbourPanel,
    Reconstructions,
    SampleGrid,
)
from dim_tf.evaluation.report import figures


@pytest.mark.parametrize("channels", [1, 3])
def test_neighbours_have_the_given_pixels(channels):
    given = neighbours(channels)
    pixels = np.concatenate([given.queries[:, None], given.neighbours], axis=1)
    expected = pixels.reshape(8, 6, 5, channels)
    found = [p.reshape(6, 5, channels) for p in decoded(figures.neighbours(given))]
    np.testing.assert_array_equal(found, expected)


def test_labels_of_neighbours_are_told_without_colour():
    same = np.array([[True, False, False], [True, True, False]])
    panel = figures.neighbours(neighbours(3, same))
    assert panel.count(', same label"') == 3
    assert panel.count(', other label"') == 3
    assert "✓ same label (3 of these 6)" in panel


@pytest.mark.parametrize(("dtype", "channels"), [(np.float32, 3), (np.uint8, 4)])
def test_wrong_pictures_are_refused(dtype, channels):
    wrong = np.zeros((1, 2, 8, 8, channels), dtype)
    with pytest.raises(ValueError, match="expected uint8"):
        figures.neighbours(NeighbourPanel("wrong", wrong[:, 0], wrong, None))
    with pytest.raises(ValueError, match="expected uint8"):
        figures.samples(SampleGrid("wrong", wrong[0]))


@pytest.mark.parametrize("count", [9, 10])
def test_samples_are_one_picture_of_all(count):
    """Row by row, one white pixel between images and below the last."""
    given = images(count)
    panel = figures.samples(SampleGrid("generated images", given))
    (sheet,) = decoded(panel)
    across = 3 if count == 9 else 4
    assert sheet.shape == (7 * 3, 6 * across, 3)
    for i, image in enumerate(given):
        top, left = 7 * (i // across), 6 * (i % across)
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 5], image)
    assert (sheet[6::7] == 255).all()
    assert f'alt="{count} generated images"' in panel


def test_reconstructions_stand_under_their_originals():
    originals, made = images(3), images(3, seed=1)
    panel = figures.reconstructions(Reconstructions("from global", originals, made))
    found = decoded(panel)
    np.testing.assert_array_equal(found[0::2], originals)
    np.testing.assert_array_equal(found[1::2], made)
    error = np.mean((originals / 255 - made / 255) ** 2)
    assert f"{error:.4f}" in panel


def test_reconstructions_must_be_as_many_as_originals():
    with pytest.raises(ValueError, match="shorter"):
        figures.reconstructions(Reconstructions("from global", images(3), images(2)))


def test_a_matrix_is_in_percent_of_the_true_class():
    counts = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])  # of the last class there is none
    table = figures.confusions(ConfusionMatrix("probe", counts, ("cat", "dog", "frog")))
    assert row(table, "cat") == ["80", "20", "·"]
    assert row(table, "dog") == ["25", "75", "·"]
    assert row(table, "frog") == ["·", "·", "·"]
    assert "cat taken for dog: 2 of 10" in table
    assert "Most often taken for another: dog for cat (25%), cat for dog (20%)." in table


def test_a_large_matrix_is_a_picture():
    counts = np.eye(30, dtype=int) * 3
    counts[4, 7] = 1
    names = tuple(f"class {i}" for i in range(30))
    panel = figures.confusions(ConfusionMatrix("probe", counts, names))
    (picture,) = decoded(panel)
    assert picture.shape == (30, 30)
    assert picture[0, 0] == 0
    assert picture[7, 4] == 255
    assert picture[4, 7] == int(255 * (1 - np.sqrt(0.25)))
    assert "class 4 for class 7 (25%)" in panel
    assert not re.search("<table", panel)
