"""Images by what a table calls them."""

import unicodedata
from pathlib import Path

from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.image_lookup import ImageLookup

ROOT = ImageFolders((Path("/data/CheXpert/train"),), ("train",))


def finder(*names, folders=ROOT):
    lookup = ImageLookup(names, folders)
    return lambda called: [names[index] for index in lookup.find(called)]


def test_a_path_within_the_folder_or_the_end_of_it():
    find = finder("p1/front.jpg", "p2/front.jpg", "p2/side.jpg")
    assert find("p1/front.jpg") == ["p1/front.jpg"]
    assert find("./p1//front.jpg") == find("/p1/front.jpg") == ["p1/front.jpg"]
    assert find(r"p1\front.jpg") == find("../train/p1/front.jpg") == ["p1/front.jpg"]
    assert find("side.jpg") == ["p2/side.jpg"]
    assert find("front.jpg") == ["p1/front.jpg", "p2/front.jpg"]
    assert find("CheXpert/train/p2/front.jpg") == ["p2/front.jpg"]
    assert find("/data/CheXpert/train/p2/front.jpg") == ["p2/front.jpg"]


def test_a_file_of_another_folder_is_none_of_these():
    find = finder("p1/front.jpg")
    for called in ("CheXpert/valid/p1/front.jpg", "p3/front.jpg", "ront.jpg", "1/front.jpg", "."):
        assert find(called) == []


def test_a_suffix_may_lack_or_be_another():
    find = finder("1.jpg", "x/2.840.1.png", "x/3.jpg", "x/3.png", "4")
    assert find("1") == find("1.JPG") == find("1.dcm") == ["1.jpg"]
    assert find("2.840.1") == find("2.840.1.dcm") == find("x/2.840.1") == ["x/2.840.1.png"]
    assert find("3.png") == ["x/3.png"]
    assert find("3") == find("3.gif") == ["x/3.jpg", "x/3.png"]
    assert find("4.jpg") == []
    assert find("1.txt") == find("2") == []


def test_the_path_within_the_folder_comes_first():
    find = finder("1.jpg", "x/1.jpg", "y/2.png", "2")
    assert find("1.jpg") == find("1") == ["1.jpg"]
    assert find("2") == ["2"]


def test_letters_with_marks_are_the_same_composed_or_not():
    name = unicodedata.normalize("NFD", "Käfer.jpg")
    assert finder(name)(unicodedata.normalize("NFC", name)) == [name]


def test_several_folders_are_named_or_not():
    folders = ImageFolders((Path("/x/a"), Path("/x/b")), ("a", "b"))
    find = finder("a/1.jpg", "b/1.jpg", "b/2.jpg", folders=folders)
    assert find("a/1.jpg") == ["a/1.jpg"]
    assert find("1.jpg") == ["a/1.jpg", "b/1.jpg"]
    assert find("2") == find("b/2") == find("x/b/2.jpg") == ["b/2.jpg"]
