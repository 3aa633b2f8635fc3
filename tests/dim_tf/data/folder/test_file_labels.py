"""Labels and split of all files of a folder."""

from pathlib import Path

import pytest

from dim_tf.data import DataRequest
from dim_tf.data.folder.file_labels import label_files
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.system.errors import InputError

ONE = ImageFolders((Path("photos"),), ("photos",))
TWO = ImageFolders((Path("a"), Path("b")), ("a", "b"))


def request(**settings):
    return DataRequest(data_dir="photos", **settings)


def tree(*folders, count=12):
    return [f"{folder}/{number}.png" for folder in folders for number in range(count)]


def test_folders_are_classes_and_copies_count():
    files = label_files(tree("cat", "dog"), ONE, request())
    assert files.names == ("cat", "dog")
    assert files.labels.tolist() == [0] * 12 + [1] * 12
    assert files.is_test is None
    assert files.reason == "the 2 folders"


def test_split_folders_say_which_files_are_for_the_test():
    names = tree("train/cat", "train/dog", "test/cat", "test/dog", "validation/cat")
    files = label_files(names, ONE, request())
    assert files.labels.tolist() == 2 * ([0] * 12 + [1] * 12) + [0] * 12
    assert files.is_test.tolist() == [name.startswith("test/") for name in names]
    assert label_files(names, ONE, request(split="hash")).is_test is None
    files = label_files(tree("train/cat", "train/dog", "val/cat", "val/dog"), ONE, request())
    assert files.is_test.sum() == 24


def test_several_folders_and_no_labels():
    names = [*tree("a/cat", "a/dog"), *tree("b/dog")]
    assert label_files(names, TWO, request()).labels.tolist() == [0] * 12 + [1] * 24
    files = label_files(names, TWO, request(labels="none"))
    assert (files.labels, files.names) == (None, ())


def test_a_file_of_labels(tmp_path):
    path = tmp_path / "labels.csv"
    rows = ["0.png,cat,train", "1.png,dog,test", "2.png,dog,train", "3.png,cat,train"]
    path.write_text("\n".join(["file,label,split", *rows]))
    files = label_files([f"{n}.png" for n in range(5)], ONE, request(labels=str(path)))
    assert files.names == ("cat", "dog")
    assert files.labels.tolist() == [0, 1, 1, 0, -1]
    assert files.is_test.tolist() == [False, True, False, False, False]
    with pytest.raises(InputError, match="none of the 4 rows"):
        label_files(["a.png"], ONE, request(labels=str(path)))
