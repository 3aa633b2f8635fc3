"""Which folders are splits, by their names."""

import doctest

import pytest

from dim_tf.data.folder import split_names
from dim_tf.data.folder.split_folders import ambiguous_folders, find_split_folders
from dim_tf.data.folder.split_names import Role


def roles(*folders):
    layout = find_split_folders([f"{folder}/1.png" for folder in folders])
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
    role_of = roles(*folders)
    assert [name for name, role in role_of.items() if role == "TEST"] == [test]
    assert "VALIDATION" not in role_of.values()


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
    layout = find_split_folders(["set/train/cat/1", "set/test/dog/x/2", "set/more/cat/3"])
    assert layout.names == ["cat/1", "dog/x/2", "cat/3"]
    assert layout.roles == [Role.TRAINING, Role.TEST, Role.EXTRA]
    assert layout.extra_folders == ("more",)


def test_a_split_below_a_class_is_one_where_each_class_has_it():
    assert find_split_folders(["cat/train/1", "dog/test/2"]).names == [
        "cat/1",
        "dog/2",
    ]
    assert find_split_folders(["cat/train/1", "dog/2"]) is None
    assert find_split_folders(["cat/train/1", "dog/boots/2"]) is None


def test_what_may_be_a_class_is_a_split_beside_another():
    assert roles("train", "valid") == {"train": "TRAINING", "valid": "VALIDATION"}
    assert roles("train", "other") == {"train": "TRAINING"}


TRAIN, TEST, VAL, OUT = "TRAINING", "TEST", "VALIDATION", "LEFT_OUT"


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        # Other words beside the split's.
        ("train-clean test-other", [TRAIN, TEST]),
        ("train_clean test_noisy", [TRAIN, TEST]),
        ("train_labeled test_public", [TRAIN, TEST]),
        ("train_real val_syn", [TRAIN, VAL]),
        ("train_hr test_lr", [TRAIN, TEST]),
        ("Fashion_train Digits_test", [TRAIN, TEST]),
        ("cat_train dog_test", [TRAIN, TEST]),
        ("train test_easy test_hard", [TRAIN, TEST, TEST]),
        ("train test_public test_private", [TRAIN, TEST, TEST]),
        ("train test_hard", [TRAIN, TEST]),
        ("cats test test_hard", [None, TEST, TEST]),
        ("cats dogs test_cats test_dogs", [None, None, TEST, TEST]),
        ("train_cat train_dog test_cat", [TRAIN, TRAIN, TEST]),
        ("Training Test test-multiple_fruits papers", [TRAIN, TEST, TEST, None]),
        ("train_labeled train_unlabeled test", [TRAIN, "UNLABELLED", TEST]),
        ("train test extra_val", [TRAIN, TEST, VAL]),
        # Other words for splits.
        ("train validate", [TRAIN, VAL]),
        ("train validating", [TRAIN, VAL]),
        ("train evaluate", [TRAIN, VAL]),
        ("train holdout", [TRAIN, TEST]),
        ("train hold-out", [TRAIN, TEST]),
        ("train held_out", [TRAIN, TEST]),
        ("train heldout", [TRAIN, TEST]),
        ("Train Tests", [TRAIN, TEST]),
        ("trn tst", [TRAIN, TEST]),
        ("train query gallery", [TRAIN, TEST, TEST]),
        ("bounding_box_train bounding_box_test query", [TRAIN, TEST, TEST]),
        ("train gallery", [TRAIN, None]),
        # Neither.
        ("seg_train seg_test seg_pred", [TRAIN, TEST, OUT]),
        ("train test inference", [TRAIN, TEST, OUT]),
        ("train train_masks test", [TRAIN, OUT, TEST]),
        ("train test ground-truth", [TRAIN, TEST, OUT]),
        ("train test train_test", [TRAIN, TEST, OUT]),
        ("mask_train mask_test", [TRAIN, TEST]),
        ("cats masks", [None, None]),
        ("cats train_test", [None, None]),
    ],
)
def test_the_folders_roles(folders, expected):
    read = roles(*folders.split())
    assert [read.get(folder) for folder in folders.split()] == expected


def layout_of(files):
    """Name below the split and role of some files, given as one line."""
    names = [f"{folder}/1.png" for folder in files.split()]
    layout = find_split_folders(names)
    below = [name.rpartition("/")[0] for name in layout.names]
    return list(zip(below, (role.name for role in layout.roles), strict=True))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            "seg_train/seg_train/sea seg_test/seg_test/sea seg_pred/seg_pred",
            [("sea", TRAIN), ("sea", TEST), ("seg_pred", OUT)],
        ),
        (
            "training_set/training_set/cats test_set/test_set/cats",
            [("cats", TRAIN), ("cats", TEST)],
        ),
        ("train/train train/bus test/bus", [("train", TRAIN), ("bus", TRAIN), ("bus", TEST)]),
        (
            "train_cat train_dog test_cat",
            [("cat", TRAIN), ("dog", TRAIN), ("cat", TEST)],
        ),
        ("train_cat train_dog test_bird", [("", TRAIN), ("", TRAIN), ("", TEST)]),
        (
            "bottle/train bottle/test bottle/ground_truth cable/train cable/test x",
            [("bottle", TRAIN), ("bottle", TEST), ("bottle", OUT)]
            + [("cable", TRAIN), ("cable", TEST), ("x", "EXTRA")],
        ),
        (
            "cats/train cats/test dogs/train dogs/test misc/old",
            [("cats", TRAIN), ("cats", TEST), ("dogs", TRAIN), ("dogs", TEST), ("misc", "EXTRA")],
        ),
        (
            "cats/train cats/test dogs/train dogs/test test",
            [("cats", TRAIN), ("cats", TEST), ("dogs", TRAIN), ("dogs", TEST), ("test", OUT)],
        ),
        (
            "data/train/cat data/test/cat papers",
            [("cat", TRAIN), ("cat", TEST), ("papers", "EXTRA")],
        ),
        (
            "training_data/train/cat training_data/test/cat",
            [("cat", TRAIN), ("cat", TEST)],
        ),
        (
            "train/train/cat train/val/cat test/cat",
            [("cat", TRAIN), ("cat", OUT), ("cat", TEST)],
        ),
        (
            "train/train/images train/train/masks test/images",
            [("", TRAIN), ("masks", OUT), ("images", TEST)],
        ),
        (
            "images/train/a images/val/a labels/train/a labels/val/a",
            [("a", TRAIN), ("a", VAL), ("labels/train/a", OUT), ("labels/val/a", OUT)],
        ),
        (
            "leftImg8bit/train gtFine/train leftImg8bit/test gtFine/test",
            [("", TRAIN), ("gtFine/train", OUT), ("", TEST), ("gtFine/test", OUT)],
        ),
        (
            "mask/train mask/test no_mask/train no_mask/test",
            [("mask", TRAIN), ("mask", TEST), ("no_mask", TRAIN), ("no_mask", TEST)],
        ),
        ("train/cat test/cat test_many", [("cat", TRAIN), ("cat", TEST), ("", OUT)]),
        (
            "train/test train/bus test/test test/bus",
            [("test", TRAIN), ("bus", TRAIN), ("test", TEST), ("bus", TEST)],
        ),
        ("train/test train/bus test/test", [("test", OUT), ("bus", TRAIN), ("", TEST)]),
        ("train test old/test/cat", [("", TRAIN), ("", TEST), ("test/cat", OUT)]),
        (
            "train/images train/masks test/images test/masks",
            [("", TRAIN), ("masks", OUT), ("", TEST), ("masks", OUT)],
        ),
        (
            "train/mask train/no_mask test/mask",
            [("mask", TRAIN), ("no_mask", TRAIN), ("mask", TEST)],
        ),
    ],
)
def test_what_images_are_for_and_what_is_below(files, expected):
    assert layout_of(files) == expected


def test_folders_that_are_not_taken_for_splits_are_named():
    def ambiguous(files):
        names = [f"{folder}/1.png" for folder in files.split()]
        return ambiguous_folders(names, find_split_folders(names))

    assert ambiguous("test_tube a/valid_x latest mask") == ["test_tube", "valid_x"]
    assert ambiguous("train pred") == ["pred"]
    assert ambiguous("train/train/mask test/test/mask test_pred") == []
    assert ambiguous("train/cat/test_x test/cat") == ["test_x"]


def test_no_files_have_no_splits():
    assert find_split_folders([]) is None


def test_its_examples():
    assert doctest.testmod(split_names).failed == 0
