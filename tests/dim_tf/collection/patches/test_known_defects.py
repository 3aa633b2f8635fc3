"""Folders and masks say what is known of scored images."""

import numpy as np
import pytest
from PIL import Image

from dim_tf.collection.patches.known_defects import find_known_defects, read_masks
from dim_tf.data.folder.image_folders import ImageFolders, open_folders
from dim_tf.data.image_frame import ImageFrame
from dim_tf.system.errors import InputError

IDS = ["Good/0.png", "crack/0.png", "crack/deep/1.jpg", "top.png"]


@pytest.fixture
def scored(tmp_path):
    """The scored folder, with masks of two defects beside it."""
    for name in IDS:
        path = tmp_path / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 8)).save(path)
    mask = np.zeros((8, 16), np.uint8)
    mask[:, 8:] = 1  # any value above 0
    for name in ("crack/0_mask.png", "crack/deep/1.png"):
        path = tmp_path / "ground_truth" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return tmp_path / "test"


def alone(folder):
    return ImageFolders((folder,), ("test",))


def test_folders_tell_defects_from_normal_images(scored):
    known = find_known_defects(IDS, alone(scored))
    assert known.rows.tolist() == [0, 1, 2]  # nothing is known of an image in no folder
    assert known.is_anomalous.tolist() == [False, True, True]
    assert known.kinds == ("Good", "crack", "crack")
    assert {row: path.name for row, path in known.masks.items()} == {1: "0_mask.png", 2: "1.png"}
    assert find_known_defects(IDS[1:], alone(scored)) is None  # no folder is named as normal


def test_several_folders_are_of_the_kinds_that_they_are_named(scored, tmp_path):
    other = tmp_path / "new/test/bent"
    other.mkdir(parents=True)
    Image.new("RGB", (16, 8)).save(other / "2.png")
    folders = open_folders(f"{scored}/Good,{scored}/crack,{tmp_path}/new/test")
    ids = ["Good/0.png", "crack/0.png", "test/bent/2.png"]
    known = find_known_defects(ids, folders)
    assert known.kinds == ("Good", "crack", "bent")
    assert known.is_anomalous.tolist() == [False, True, True]
    assert {row: path.name for row, path in known.masks.items()} == {1: "0_mask.png"}


def test_masks_are_as_the_encoder_sees_them(scored):
    known = find_known_defects(IDS, alone(scored))
    rows, masks = read_masks(known, IDS, scored.joinpath, ImageFrame(4, 4, 3, "crop"), 1000)
    assert rows.tolist() == [0, 1, 2]
    assert not masks[0].any()
    # Of 8 x 16 pixels the middle 8 x 8, whose right half is of the defect.
    expected = np.zeros((4, 4), bool)
    expected[:, 2:] = True
    np.testing.assert_array_equal(masks[1:], [expected, expected])


def test_a_broken_mask_is_named(scored):
    known = find_known_defects(IDS, alone(scored))
    known.masks[1].write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match=r"the mask .*0_mask\.png cannot be read"):
        read_masks(known, IDS, scored.joinpath, ImageFrame(4, 4), 1000)
