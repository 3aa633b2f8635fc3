"""Folders that are splits: which images are trained on, which are for the test."""

import re
import shutil
from collections import Counter

import pytest
import sample_folders
from sample_folders import classes_in, written_report
from sample_images import save

from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images."""
    return sample_folders.loader(tmp_path)


def names(split):
    return set(split.images.names)


@pytest.mark.parametrize(
    ("layout", "test"),
    [
        (("train", "test", "extra"), "test"),
        (("train", "dev"), "dev"),
        (("train_images", "test_images"), "test_images"),
        (("train", "unlabeled", "test"), "test"),
        (("train2017", "val2017"), "val2017"),
        (("Training Set", "Test-Set"), "Test-Set"),
        (("trainA", "testA"), "testA"),
        (("DIV2K_train_HR", "DIV2K_valid_HR"), "DIV2K_valid_HR"),
        (("photos/train", "photos/eval"), "photos/eval"),
    ],
    ids=str,
)
def test_folders_called_as_splits_are_no_classes(tmp_path, load, layout, test):
    for number, folder in enumerate(layout):
        classes_in(tmp_path / "images", folder, 20 * number)
    splits = load()
    assert splits.label_names == ()
    assert {name.rsplit("/", 1)[0] for name in names(splits.test)} == {test}
    assert {name.rsplit("/", 1)[0] for name in names(splits.train)} == set(layout) - {test}
    assert f"by the folders: {test.rsplit('/', 1)[-1]} for the test" in splits.note


@pytest.mark.parametrize(
    "layout", [("latest", "oldest"), ("contest", "party"), ("trainers", "boots"), ("car", "bus")]
)
def test_words_that_merely_hold_a_splits_name_are_classes(tmp_path, load, layout):
    for number, folder in enumerate((*layout, "train")):
        classes_in(tmp_path / "images", folder, 20 * number)
    splits = load()
    assert splits.label_names == tuple(sorted((*layout, "train")))  # the vehicle
    assert "by the hash of each image's pixels" in splits.note


@pytest.mark.parametrize(
    "layout", ["{split}/{animal}", "{animal}/{split}", "set/{split}/{animal}"], ids=str
)
def test_the_classes_are_within_the_splits(tmp_path, load, layout):
    for number, (split, animal) in enumerate(
        (split, animal) for split in ("train", "val") for animal in ("cat", "dog")
    ):
        classes_in(tmp_path / "images", layout.format(split=split, animal=animal), 20 * number)
    for wanted in ("auto", "folders"):
        splits = load(labels=wanted)
        assert splits.label_names == ("cat", "dog")
        assert (len(splits.train), len(splits.test)) == (40, 40)
        for split, name in ((splits.train, "train"), (splits.test, "val")):
            for file, label in zip(split.images.names, split.labels, strict=True):
                assert f"/{name}/" in f"/{file}"
                assert splits.label_names[label] in file


def test_the_hash_splits_where_it_is_asked_for(tmp_path, load):
    for number, where in enumerate(("train/cat", "train/dog", "val/cat", "val/dog")):
        classes_in(tmp_path / "images", where, 20 * number)
    splits = load(split="hash", test_fraction=0.1)
    assert splits.label_names == ("cat", "dog")
    assert len({name[:5] for name in names(splits.test)}) > 1
    assert len(splits.test) == 10
    assert written_report(splits, tmp_path / "run")["split_by"] == "hash"


def test_splits_are_refused_as_classes(tmp_path, load):
    for number, where in enumerate(("train", "test")):
        classes_in(tmp_path / "images", where, 20 * number)
    with pytest.raises(InputError, match=r"--labels=folders .*: test and train are splits"):
        load(labels="folders")


def test_folders_that_are_no_splits_are_refused_as_such(tmp_path, load):
    for number, where in enumerate(("cat", "dog")):
        classes_in(tmp_path / "images", where, 20 * number)
    with pytest.raises(InputError, match=r"--split=folders .* no folder is called train"):
        load(split="folders")
    with pytest.raises(InputError, match="--split=hash takes effect with --dataset=folder only"):
        Experiment.of(name="a", dataset="digits", split="hash")


def test_validation_images_are_left_out_beside_test_images(tmp_path, load):
    for number, where in enumerate(("train", "valid", "test")):
        classes_in(tmp_path / "images", where, 20 * number)
    splits = load()
    assert not any(name.startswith("valid/") for name in names(splits.train) | names(splits.test))
    assert "left out: 20 for validation" in splits.note
    assert written_report(splits, tmp_path / "run")["split_folders"] == {
        "test": "test",
        "train": "training",
        "valid": "validation",
    }


def test_test_images_are_not_trained_on_although_they_are_in_both(tmp_path, load):
    classes_in(tmp_path / "images", "train", 0, 40)
    classes_in(tmp_path / "images", "test", 30, 20)
    save(tmp_path / "images/train/049.bmp", 49)
    splits = load()
    assert len(splits.test) == 20
    assert len(splits.train) == 30
    assert "11 test images left out of training" in splits.note
    assert written_report(splits, tmp_path / "run")["test_images_left_out_of_training"] == 11
    of_test = {image.tobytes() for image in splits.test.images[:]}
    assert of_test.isdisjoint(image.tobytes() for image in splits.train.images[:])


def test_unlabelled_images_are_trained_on_and_probes_see_the_others(tmp_path, load):
    for number, where in enumerate(
        ("train/cat", "train/dog", "test/cat", "test/dog", "unlabeled", "extra")
    ):
        classes_in(tmp_path / "images", where, 20 * number)
    splits = load()
    assert splits.train.labels is None
    assert (len(splits.train), len(splits.labelled), len(splits.test)) == (80, 40, 40)
    assert {name.split("/")[0] for name in names(splits.labelled)} == {"train"}
    for name, label in zip(splits.labelled.images.names, splits.labelled.labels, strict=True):
        assert splits.label_names[label] in name
    assert "40 for training have none" in splits.note


def test_too_few_test_images_are_an_error(tmp_path, load):
    classes_in(tmp_path / "images", "train", 0, 30)
    classes_in(tmp_path / "images", "test", 30, 3)
    with pytest.raises(InputError, match=r"3 different test images in test and train, .*hash"):
        load()
    assert len(load(split="hash").test) == 10


def counted(splits):
    """Images by top folder, of training and of the test."""
    return tuple(
        dict(Counter(name.split("/")[0] for name in split.images.names))
        for split in (splits.train, splits.test)
    )


@pytest.mark.parametrize(
    ("folders", "training", "test", "labels", "said"),
    [
        ("train-clean test-other", "train-clean", "test-other", (), ""),
        (
            "train/a train/b test_easy/a test_easy/b test_hard/a test_hard/b",
            "train",
            "test_easy test_hard",
            ("a", "b"),
            "by the folders: test_easy and test_hard for the test;",
        ),
        (
            "seg_train/seg_train/sea seg_train/seg_train/ice seg_test/seg_test/sea "
            "seg_test/seg_test/ice seg_pred/seg_pred",
            "seg_train",
            "seg_test",
            ("ice", "sea"),
            "left out: 20 in seg_pred.",
        ),
        (
            "Training/Apple Training/Kiwi Test/Apple Test/Kiwi test-multiple_fruits papers",
            "Training papers",
            "Test",
            ("Apple", "Kiwi"),
            "; for training also papers, beside them; .* labels: the 2 folders in Test and "
            "Training; 20 for training have none; left out: 20 in test-multiple_fruits.",
        ),
        ("train_cat train_dog test_cat", "train_cat train_dog", "test_cat", ("cat", "dog"), ""),
        (
            "bottle/train bottle/test bottle/ground_truth cable/train cable/test",
            "bottle cable",
            "bottle cable",
            ("bottle", "cable"),
            "left out: 20 in ground_truth.",
        ),
        (
            "cats/train cats/test dogs/train dogs/test misc",
            "cats dogs misc",
            "cats dogs",
            ("cats", "dogs"),
            "; for training also misc, beside them;",
        ),
        (
            "train/images train/masks test/images test/masks",
            "train",
            "test",
            (),
            "left out: 40 in test/masks and train/masks.",
        ),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "folders"])
def test_no_test_image_is_trained_on(tmp_path, load, wanted, folders, training, test, labels, said):
    for number, folder in enumerate(folders.split()):
        classes_in(tmp_path / "images", folder, 20 * number)
    splits = load(split=wanted)
    assert [" ".join(sorted(part)) for part in counted(splits)] == [training, test]
    assert re.search(said, splits.note)
    assert splits.label_names == labels
    is_test = [re.search(r"(?i)\btest|_test", n) is not None for n in splits.train.images.names]
    assert not any(is_test)
    assert not any("mask" in name or "truth" in name for name in names(splits.train))


def test_a_folder_that_may_be_a_split_is_said_where_the_hash_decides(tmp_path, load):
    for number, folder in enumerate(("beaker", "test_tube")):
        classes_in(tmp_path / "images", folder, 20 * number)
    assert "hash of each image's pixels (not taken for splits: test_tube);" in load().note
    with pytest.raises(InputError, match=r"--split=folders .* not taken for splits: test_tube;"):
        load(split="folders")


def test_masks_and_predictions_are_left_out_by_the_hash_too_but_not_their_copies(tmp_path, load):
    classes_in(tmp_path / "images", "z_train", 0, 40)
    classes_in(tmp_path / "images", "z_test", 40)
    classes_in(tmp_path / "images", "a_pred", 30, 40)
    splits = load(split="hash")
    assert len(splits.train) + len(splits.test) == 60
    assert "; left out: 30 repeated, 10 in a_pred." in splits.note
    assert written_report(splits, tmp_path / "run")["split_folders"]["a_pred"] == "left_out"


def test_images_that_were_trained_on_are_not_tested_on_when_they_are_moved(tmp_path, load):
    classes_in(tmp_path / "images", "train", 0, 40)
    classes_in(tmp_path / "images", "test", 40)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    load().report.write(run)
    load().report.record_training_images(run)
    save(tmp_path / "images/test/new.png", 1000)
    load().report.check(run)  # more test images do no harm
    moved = sorted((tmp_path / "images/train").iterdir())[0]
    shutil.move(moved, tmp_path / "images/test" / f"moved{moved.suffix}")
    with pytest.raises(InputError, match="trained on 1 of the 22 images that are for the test"):
        load().report.check(run)
