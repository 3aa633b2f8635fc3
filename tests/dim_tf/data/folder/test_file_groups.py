"""Groups of all files of a folder: copies and near copies of one image are one group."""

import os

import numpy as np
import pytest
from PIL import Image
from sample_images import save, tree

from dim_tf.data import DataRequest
from dim_tf.data.folder import scan
from dim_tf.data.folder.file_groups import group_files
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.system.errors import InputError


@pytest.fixture
def groups_of(tmp_path):
    """The groups of files below tmp_path/images, by their names."""

    def group(names, folders=("images",), **settings):
        request = DataRequest(cache_dir=str(tmp_path / "cache"), **settings)
        return group_files(
            names, ImageFolders(tuple(tmp_path / name for name in folders), folders), request
        ).tolist()

    return group


def scene(number):
    """A large image of its own, of soft waves."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8)).resize((96, 96))


def test_copies_and_near_copies_are_one_group(tmp_path, groups_of, monkeypatch):
    for number in range(20):
        save(tmp_path / f"images/scene{number}.png", image=scene(number))
    save(tmp_path / "images/copy.bmp", image=scene(3))
    save(tmp_path / "images/smaller.jpg", image=scene(3).resize((64, 64)), quality=80)
    names = ["copy.bmp", "scene3.png", "smaller.jpg", "scene4.png", "gone.png", "scene5.png"]
    groups = groups_of(names)
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) == 4
    # Of equal pixels alone, and without another look at the files.
    monkeypatch.setattr(scan, "inspect_file", None)
    groups = groups_of(names, group_by="none")
    assert groups[0] == groups[1]
    assert len(set(groups)) == 5


def test_group_by_and_folders_are_those_of_training(tmp_path, groups_of):
    tree(tmp_path / "a", 4, "video_{0}/frame.png")
    for number in range(4):
        save(tmp_path / f"b/video_1/{number}.png", number + 50)
    names = ["a/video_1/frame.png", "a/video_2/frame.png", "b/video_1/0.png", "b/video_1/3.png"]
    groups = groups_of(names, ("a", "b"), group_by=r"(video_\d+)/")
    assert groups[0] == groups[2] == groups[3] != groups[1]
    save(tmp_path / "b/video_1/copy.png", 2)  # of a/video_2/frame.png
    assert len(set(groups_of(names, ("a", "b"), group_by=r"(video_\d+)/"))) == 1
    with pytest.raises(InputError, match=r"--group_by=.* matches none of the 9 paths"):
        groups_of(names, ("a", "b"), group_by="(film)")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_a_name_that_is_no_utf8_is_known(tmp_path, groups_of):
    save(tmp_path / os.fsdecode(b"images/\xff.png"), image=scene(0))
    save(tmp_path / "images/copy.png", image=scene(0))
    tree(tmp_path / "images", 20)
    groups = groups_of(["\\xff.png", "copy.png", "000.png"])
    assert groups[0] == groups[1] != groups[2]
