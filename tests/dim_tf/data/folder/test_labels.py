"""Which folders of images are classes."""

import pytest

from dim_tf.data.folder.labels import label_by_folder
from dim_tf.data.folder.split_folders import find_split_folders
from dim_tf.system.errors import InputError


def test_which_folders_are_classes():
    def labels(*names, mode="auto"):
        return label_by_folder(list(names), mode, find_split_folders(list(names)))

    def many(*names):
        return [f"{name}/{number}" for name in names for number in range(10)]

    assert labels(*many("a", "b")).names == ("a", "b")
    assert list(labels("b/1", "a/x/2", mode="folders").classes) == [1, 0]
    for names, why in (
        ([*many("a", "b"), "c"], "in no folder"),
        (many("a"), "no two folders"),
        (many("a/x", "b/y"), "have folders in them"),
        (many("train", "Test"), "Test and train are splits"),
        ([*many("a"), "b/1"], "less than 10 images"),
    ):
        no_labels = labels(*names)
        assert no_labels.classes is None
        assert no_labels.names == ()
        assert why in no_labels.reason
    with pytest.raises(InputError, match=r"--labels=folders .* in no folder"):
        labels("a/1", "b/2", "c", mode="folders")
