"""The probe learns what is where, and is measured pixel by pixel."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from dim_tf.collection.patches import segmentation
from dim_tf.collection.patches.pixel_patches import pixel_patches
from dim_tf.system.errors import InputError


def scenes(count, seed=0):
    """Features that tell the class of a location, with noise, and masks of three classes."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 3, (count, 4, 6))
    codes = np.random.default_rng(9).normal(size=(3, 8))
    maps = (codes[cells] + rng.normal(scale=0.2, size=(count, 4, 6, 8))).astype(np.float16)
    return maps, np.repeat(np.repeat(cells, 5, axis=1), 5, axis=2)


def test_cells_are_covered_as_their_pixels_say():
    masks = np.zeros((1, 3, 4), int)
    masks[0, :, 3] = 1
    masks[0, 0, 0] = segmentation.IGNORED
    fractions = segmentation.area_fractions(masks, (1, 2), 2)
    np.testing.assert_allclose(fractions, [[[[5 / 6, 0], [0.5, 0.5]]]], atol=1e-6)
    # Three pixels in two cells: the second is half in each.
    fractions = segmentation.area_fractions(np.array([[[0, 1, 1]]]), (1, 2), 2)
    np.testing.assert_allclose(fractions, [[[[2 / 3, 1 / 3], [0, 1]]]], atol=1e-6)


def test_a_cell_has_the_class_of_most_of_its_pixels():
    fractions = np.array([[[[0.5, 0.3], [0.2, 0.3], [0.1, 0.2], [0.5, 0.5]]]])
    labels = segmentation.fractions_to_labels(fractions)
    assert labels.tolist() == [[[0, segmentation.IGNORED, segmentation.IGNORED, 0]]]


def test_features_that_tell_the_class_beat_raw_patches_that_do_not():
    maps, masks = scenes(60)
    test_maps, test_masks = scenes(30, seed=1)
    probe = segmentation.fit(maps, masks, 3)
    metrics = segmentation.measure(probe, test_maps, test_masks)
    low, high = metrics.mean_iou_interval
    assert 0.85 < low <= metrics.mean_iou <= high < 1  # interpolated scores round the corners
    pixels = np.random.default_rng(0).integers(0, 256, (90, 20, 30, 3), np.uint8)
    raw = pixel_patches(pixels, (4, 6))
    reference = segmentation.measure(segmentation.fit(raw[:60], masks, 3), raw[60:], test_masks)
    assert reference.mean_iou < 0.4
    assert reference.majority_accuracy == metrics.majority_accuracy < 0.4


def test_pixels_are_counted_as_scikit_learn_counts_them():
    maps, masks = scenes(40)
    test_maps, test_masks = scenes(10, seed=1)
    test_masks[:, :3, :7] = segmentation.IGNORED
    probe = segmentation.fit(maps, masks, 3)
    predicted = np.concatenate([p for _, p in segmentation.predict(probe, test_maps, (20, 30))])
    counted = test_masks != segmentation.IGNORED
    metrics = segmentation.measure(probe, test_maps, test_masks)
    expected = jaccard_score(test_masks[counted], predicted[counted], average=None)
    np.testing.assert_allclose(metrics.iou, expected)
    assert metrics.mean_iou == pytest.approx(expected.mean())
    assert metrics.pixel_accuracy == pytest.approx((test_masks == predicted)[counted].mean())


def test_a_class_that_is_nowhere_does_not_count():
    iou = segmentation.iou_of(np.array([[6.0, 2, 0], [1, 3, 0], [0, 0, 0]]))
    np.testing.assert_allclose(iou, [6 / 9, 3 / 6, np.nan])


def test_patches_and_blocks_of_any_size_give_the_same(monkeypatch):
    maps, masks = scenes(20)
    whole = segmentation.measure(segmentation.fit(maps, masks, 3), maps, masks)
    monkeypatch.setattr(segmentation, "_BLOCK_NUMBERS", 1)
    assert segmentation.measure(segmentation.fit(maps, masks, 3), maps, masks) == whole
    few = segmentation.fit(maps, masks, 3, max_patches=50)
    assert 0.5 < segmentation.measure(few, maps, masks).mean_iou != whole.mean_iou


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        (np.zeros((3, 8, 8), int), r"shape \[3, 8, 8\] .* expected whole numbers \[5,"),
        (np.zeros((5, 8, 8)), "type float64; expected whole numbers"),
        (np.full((5, 8, 8), 3), "has the class 3; expected 0 to 2, or -1"),
        (np.zeros((5, 8, 8), int), "the 120 patches of 5 masks are of one class"),
    ],
    ids=["number", "type", "class", "one class"],
)
def test_wrong_masks_are_refused(masks, says):
    with pytest.raises(InputError, match=says):
        segmentation.fit(scenes(5)[0], masks, 3)
