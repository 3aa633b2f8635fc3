"""Which folders are splits, by their names."""

import doctest

import pytest

from dim_tf.data import split_folders
from dim_tf.data.split_folders import Role


def roles(*folders):
    layout = split_folders.find([f"{folder}/1.png" for folder in folders])
    return {} if layout is None else {name: role.name for name, role in layout.folders.items()}


@pytest.mark.parametrize(
    ("folders", "test"),
    [
        (("train", "test"), "test"),
        (("Training", "TESTING"), "TESTING"),
        (("trainval", "test"), "test"),
        (("train_images", "images_test"), "images_test"),
        (("training set", "test-set"), "test-set"),
        (("trainset", "testset"), "testset"),
        (("trainImages", "testImages"), "testImages"),
        (("train2017", "test2017"), "test2017"),
        (("animals_train", "animals_test"), "animals_test"),
        (("train_HR_x2", "test_HR_x2"), "test_HR_x2"),
        (("cats", "test"), "test"),
    ],
)
def test_which_is_the_test(folders, test):
    found = roles(*folders)
    assert [name for name, role in found.items() if role == "TEST"] == [test]
    assert "VALIDATION" not in found.values()


@pytest.mark.parametrize(
    "folders",
    [
        ("latest", "contest"),
        ("trainers", "evaluators"),
        ("steam_train", "bus"),
        ("test_tube", "beaker"),
        ("bus", "car", "train"),
        ("Valid", "Invalid"),
        ("device", "value"),
        (*"0123456789", "test"),
        ("a", "b"),
    ],
)
def test_these_are_none(folders):
    assert roles(*folders) == {}


def test_among_many_folders_two_splits_are_splits():
    assert roles(*"0123456789", "train", "test") == {"test": "TEST", "train": "TRAINING"}


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("dev", "VALIDATION"),
        ("eval", "VALIDATION"),
        ("val", "VALIDATION"),
        ("valid", "VALIDATION"),
        ("unlabelled", "UNLABELLED"),
        ("unlabeled", "UNLABELLED"),
        ("extra", "EXTRA"),
        ("train_val", "TRAINING"),
    ],
)
def test_what_the_others_are(word, role):
    assert roles("train", word)[word] == role


def test_the_rest_of_a_name_is_what_is_below_the_split():
    layout = split_folders.find(["set/train/cat/1", "set/test/dog/x/2", "set/more/cat/3"])
    assert layout.names == ["cat/1", "dog/x/2", "more/cat/3"]
    assert layout.roles == [Role.TRAINING, Role.TEST, Role.TRAINING]


def test_a_split_below_a_class_is_one_where_each_class_has_it():
    assert split_folders.find(["cat/train/1", "dog/test/2"]).names == ["cat/1", "dog/2"]
    assert split_folders.find(["cat/train/1", "dog/2"]) is None
    assert split_folders.find(["cat/train/1", "dog/boots/2"]) is None


def test_what_may_be_a_class_is_a_split_beside_another():
    assert roles("train", "valid") == {"train": "TRAINING", "valid": "VALIDATION"}
    assert roles("train", "other") == {"train": "TRAINING"}


def test_no_files_have_no_splits():
    assert split_folders.find([]) is None


def test_its_examples():
    assert doctest.testmod(split_folders).failed == 0
