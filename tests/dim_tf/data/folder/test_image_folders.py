"""One folder of images, or several."""

from pathlib import Path

import numpy as np
import pytest

from dim_tf.data.folder.image_folders import (
    ImageFolders,
    joined_name,
    open_folders,
    split_data_dir,
)
from dim_tf.data.folder.manifest import Manifest, join_manifests
from dim_tf.data.folder.split_folders import find_split_layout
from dim_tf.data.folder.split_names import Role
from dim_tf.system.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A function that makes folders in the working folder, which is empty."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).mkdir(parents=True)

    return make


def test_commas_separate_folders_but_within_the_path_of_one(here):
    here("a", "b", "c,d", "c,d,e/f,g")
    assert split_data_dir("a") == ["a"]
    assert split_data_dir("a,b") == ["a", "b"]
    assert split_data_dir("c,d") == ["c,d"]
    assert split_data_dir("a,c,d,b") == ["a", "c,d", "b"]
    assert split_data_dir("c,d,e/f,g,a") == ["c,d,e/f,g", "a"]
    assert split_data_dir("x,y") == ["x", "y"]


def test_a_home_folder_is_meant_in_each(here, monkeypatch, tmp_path):
    here("a,b", "c")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_folders("~/c,~/a,b").paths == (tmp_path / "c", tmp_path / "a,b")


def test_folders_of_one_name_are_told_apart(here):
    here("x/photos", "y/photos", "photos-2")
    folders = open_folders("x/photos,y/photos,photos-2")
    assert folders.names == ("photos", "photos-2", "photos-2-2")
    assert folders.locate("photos-2/cats/1.png") == (1, "cats/1.png")
    assert folders.path_of("photos-2/cats/1.png") == Path("y/photos/cats/1.png")
    assert open_folders("x/photos").path_of("cats/1.png") == Path("x/photos/cats/1.png")
    assert str(folders) == "x/photos,y/photos,photos-2"


@pytest.mark.parametrize(
    ("data_dir", "message"),
    [
        ("a,,b", "has nothing on one side of a comma"),
        ("a,", "has nothing on one side of a comma"),
        ("a,none", r"--data_dir=none cannot be read"),
        ("a,b,./a", "a is given twice"),
        ("a,b,link", "b is given twice"),
        ("a/x,b,a", "a/x is within a; give each"),
        ("a,b,file", "file is a file"),
    ],
)
def test_folders_that_do_not_go_together_are_an_error_of_one_line(here, data_dir, message):
    here("a/x", "b")
    Path("link").symlink_to("b")
    Path("file").touch()
    with pytest.raises(InputError, match=message) as caught:
        open_folders(data_dir)
    assert "\n" not in str(caught.value)


def test_a_run_on_several_folders_has_their_names(here):
    here("a", "b/c")
    assert joined_name("a,b/c/") == "a-c"
    assert joined_name(",".join(f"folder-{number}" for number in range(20))) == (
        "folder-0-and-19-more"
    )


def test_manifests_of_several_folders_are_one_sorted_by_name():
    first, second = Manifest.unscanned(["1.png", "2.png"]), Manifest.unscanned(["", "a/1.png"])
    first.file_sizes[:] = 1, 2
    second.file_sizes[:] = 0, 3
    first.system_folders["@eaDir"] = second.system_folders["@eaDir"] = 2
    joined = join_manifests([first, second], ["z", "b"])
    assert joined.names == ["b", "b/a/1.png", "z/1.png", "z/2.png"]
    np.testing.assert_array_equal(joined.file_sizes, [0, 3, 1, 2])
    assert joined.system_folders == {"@eaDir": 4}
    assert first.names == ["1.png", "2.png"]


def layout_of(*names, folders):
    places = ImageFolders(tuple(map(Path, folders)), folders)
    return find_split_layout([f"{name}.png" for name in names], places)


def test_splits_are_looked_for_in_each_folder():
    layout = layout_of(
        *("a/train/cat/1", "a/test/cat/2", "b/Train/cat/3", "b/Test/dog/4", "c/dog/5"),
        folders=("a", "b", "c"),
    )
    assert layout.roles == [Role.TRAINING, Role.TEST, Role.TRAINING, Role.TEST, Role.EXTRA]
    assert layout.names == ["cat/1.png", "cat/2.png", "cat/3.png", "dog/4.png", "dog/5.png"]
    assert layout.listed == "a/test and a/train and b/Test and b/Train"
    assert layout.extra_folders == ("c",)


def test_one_folder_may_be_for_training_and_another_for_the_test():
    layout = layout_of("train/cat/1", "test/cat/2", "more/cat/3", folders=("train", "test", "more"))
    assert layout.roles == [Role.TRAINING, Role.TEST, Role.EXTRA]
    assert layout.names == ["cat/1.png", "cat/2.png", "cat/3.png"]


def test_folders_without_splits_have_none_together():
    assert layout_of("a/cat/1", "b/cat/2", folders=("a", "b")) is None
    assert layout_of("a/cat/1", "b/latest/2", "b/cat/3", folders=("a", "b")) is None
