"""Labels of images by the rows of a file that name them."""

from pathlib import Path

import numpy as np
import pytest

from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.labels_file import LabelsFile
from dim_tf.data.folder.matched_labels import match_labels
from dim_tf.data.folder.split_names import Role
from dim_tf.system.errors import InputError

NAMES = ["train/a.jpg", "train/b.jpg", "test/a.jpg", "test/c.jpg", "masks/a.jpg"]
OF_FOLDERS = [Role.TRAINING, Role.TRAINING, Role.TEST, Role.TEST, Role.LEFT_OUT]
FOLDER = ImageFolders((Path("/x/photos"),), ("photos",))


def match(files, labels, roles=(), names=NAMES):
    lines = list(range(2, 2 + len(files)))
    file = LabelsFile(
        "labels.csv", files, lines, np.array(labels), ("cat", "dog", "emu"), list(roles), "words"
    )
    return match_labels(file, names, FOLDER)


def test_each_image_has_the_label_of_its_row():
    matched = match(["b", "test/a.jpg", "none.jpg", "b.jpg", "gone"], [2, 0, 1, 2, 1])
    assert matched.labels.tolist() == [-1, 2, 0, -1, -1]
    assert matched.unmatched_rows == 2
    attributes = match(["b", "test/a.jpg"], [[1, 0, 1], [-1, -1, -1]])
    assert attributes.labels[:3].tolist() == [[-1] * 3, [1, 0, 1], [-1] * 3]


def test_rows_that_contradict_each_other_or_name_no_one_image_are_errors_of_one_line():
    for files, labels, roles, message in (
        (["b", "c", "train/b.jpg"], [0, 1, 1], (), r"lines 2 and 4 of labels.csv .* 'b'; remove"),
        (["b", "b"], [[0, 1, 0], [0, 1, 1]], (), "lines 2 and 3"),
        (["b", "b"], [0, 0], (Role.TRAINING, Role.TEST), "lines 2 and 3 .* labels or splits"),
        (["b", "a.jpg"], [0, 1], (), r"line 3 .*'a.jpg', .* 3 images, as train/a.jpg and test/a"),
        (["x", "y"], [0, 1], (), r"none of the 2 rows .*=/x/photos; the first is 'x', .*train/a"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            match(files, labels, roles)
        assert "\n" not in str(caught.value)


def test_images_without_a_label_are_trained_on_but_those_of_the_test_are_left_out():
    matched = match(["b", "test/c.jpg"], [0, 1])
    unlabelled, unmeasured = Role.UNLABELLED, Role.UNMEASURED
    assert matched.assign_roles(OF_FOLDERS, "auto") == [
        unlabelled,
        Role.TRAINING,
        unmeasured,
        Role.TEST,
        Role.LEFT_OUT,
    ]
    assert matched.assign_roles(OF_FOLDERS, "hash")[2:4] == [unlabelled, Role.TEST]


def test_a_column_of_splits_comes_before_the_folders():
    files = ["train/a.jpg", "train/b.jpg", "test/c.jpg"]
    matched = match(files, [0, 1, 1], [Role.TEST, None, Role.TRAINING])
    assert matched.assign_roles(OF_FOLDERS, "folders") == [
        Role.TEST,
        Role.TRAINING,
        Role.UNMEASURED,  # the file does not name it
        Role.TRAINING,
        Role.LEFT_OUT,
    ]
    assert matched.assign_roles(OF_FOLDERS, "hash")[:2] == [Role.TRAINING, Role.TRAINING]


def test_classes_without_an_image_are_left_out():
    matched = match(["b", "test/a.jpg", "none.jpg"], [2, 0, 1])
    labels = matched.select(np.array([1, 2, 3]))
    assert labels.names == ("cat", "emu")
    assert labels.classes.tolist() == [1, 0, -1]
    assert labels.reason == "words, 1 row without an image"
    with pytest.raises(InputError, match=r"of 2 images 1 have a label of words, all emu"):
        matched.select(np.array([0, 1]))
    attributes = match(["b"], [[1, 0, 1]])
    assert attributes.select(np.array([1])).names == ("cat", "dog", "emu")
    with pytest.raises(InputError, match="of 1 images 0 have a label"):
        attributes.select(np.array([0]))
