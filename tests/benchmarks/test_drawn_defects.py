"""Drawn defects are where their masks say, the same for a seed, and separable by PatchCore."""

import argparse

import anomaly
import drawn_defects
import numpy as np
from drawn_defects import BLOB, NORMAL, SCRATCH
from PIL import Image

from dim_tf.collection.patches.pixel_patches import pixel_patches


def test_masks_are_where_an_image_differs_from_its_texture():
    kinds = np.array([NORMAL, SCRATCH, BLOB] * 8)
    drawn = drawn_defects.draw(kinds, 32, seed=3)
    clean = drawn_defects.draw(np.full(24, NORMAL), 32, seed=3)
    np.testing.assert_array_equal(drawn.kinds, kinds)
    changes = np.abs(drawn.images.astype(int) - clean.images).max(axis=3)
    for kind, change, mask in zip(kinds, changes, drawn.masks, strict=True):
        assert (change.max() > 0) == (kind != NORMAL)
        if kind == SCRATCH:
            np.testing.assert_array_equal(change > 0, mask == SCRATCH)
        if kind == BLOB:  # whose border is soft
            assert change[mask == BLOB].mean() > 10 * change[mask == NORMAL].mean()
    assert len({image.tobytes() for image in clean.images}) == 24


def test_folders_are_those_of_mvtec_ad(tmp_path):
    train, test = drawn_defects.draw_splits(2, 1, 2, 16, seed=0)
    drawn_defects.write_folders(tmp_path, train, test)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert files == [
        *[f"ground_truth/{kind}/00{n}_mask.png" for kind in ("blob", "scratch") for n in (0, 1)],
        *[f"test/blob/00{n}.png" for n in (0, 1)],
        "test/good/000.png",
        *[f"test/scratch/00{n}.png" for n in (0, 1)],
        *[f"train/good/00{n}.png" for n in (0, 1)],
    ]
    mask = np.asarray(Image.open(tmp_path / "ground_truth/blob/001_mask.png"))
    np.testing.assert_array_equal(mask > 0, test.masks[4] == BLOB)


def test_raw_patches_go_through_detection_and_segmentation():
    args = argparse.Namespace(normal=40, calibration=40, test_normal=30, test_defects=30, seed=0)
    drawn = anomaly.draw_all(args, 32)
    result = anomaly.measure(lambda images: pixel_patches(images, (8, 8)), drawn)
    assert result["image_auroc"] > 0.6
    assert result["pixel_auroc"] > 0.6
    assert "| raw |" in anomaly.table({"raw": result})
