"""Folders as cameras, microscopes, NAS and data sets' authors leave them."""

import json
import os
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sample_images import pixels, save, tree

from dim_tf import data
from dim_tf.collection import image_collection
from dim_tf.data.folder import pillow_decoder
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.training import data_fingerprint, run_folder


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images."""

    def of(**settings):
        folder, cache = str(tmp_path / "images"), str(tmp_path / "cache")
        return data.load("folder", data.DataRequest(data_dir=folder, cache_dir=cache, **settings))

    return of


def written_report(splits, folder):
    folder.mkdir(exist_ok=True)
    splits.report.write(folder)
    return json.loads((folder / "data.json").read_text(encoding="utf-8"))


def listed_by_report(folder):
    text = (folder / "bad_images.txt").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())


def names(split):
    return set(split.images.names)


def of_16_bits(folder, count, low, high, name="{}.tif", size=32):
    rng = np.random.default_rng(count + low + high)
    for number in range(count):
        values = rng.integers(low, high, (size, size)).astype(np.uint16)
        save(folder / name.format(number), image=Image.fromarray(values))


# The values that 16-bit images use.


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 200), (0, 1024), (0, 4096), (31_000, 34_000)],
    ids=["8 bits, dim", "10 bits", "12 bits", "signed, with an offset"],
)
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_16_bit_images_of_few_levels_are_not_black(tmp_path, load, low, high, suffix):
    of_16_bits(tmp_path / "images", 30, low, high, "{}." + suffix)
    splits = load()
    assert np.ptp(splits.train.images[:].reshape(len(splits.train), -1), axis=1).min() > 150
    assert (splits.pixel_range.low, splits.pixel_range.high) == pytest.approx(
        (low, high), abs=max(5, (high - low) // 50)
    )
    shown = f"30 of 16 bits, of which the values {splits.pixel_range.low} to "
    assert shown in splits.note
    report = written_report(splits, tmp_path / "run")
    assert report["pixel_range"] == [splits.pixel_range.low, splits.pixel_range.high]
    assert report["low_contrast"] == 0


def test_images_that_fill_16_bits_keep_their_upper_8(tmp_path, load):
    of_16_bits(tmp_path / "images", 30, 300, 65_000)
    splits = load(image_size=32)
    assert (splits.pixel_range.low, splits.pixel_range.high) == (0, 65_535)


@pytest.mark.parametrize("settings", [{"pixel_range": "dtype"}, {}], ids=["16 bits", "8 bits"])
def test_images_that_show_nothing_are_an_error_where_they_are_most(tmp_path, load, settings):
    if settings:
        of_16_bits(tmp_path / "images", 30, 0, 200)
    else:
        for number in range(30):
            values = np.random.default_rng(number).integers(0, 5, (32, 32, 3), np.uint8)
            save(tmp_path / "images" / f"{number}.png", image=Image.fromarray(values))
    with pytest.raises(InputError, match=r"30 of 30 images .* have almost no contrast") as caught:
        load(**settings)
    message = str(caught.value)
    assert ("give --pixel_range=LOW,HIGH" in message) == bool(settings)
    assert "\n" not in message
    listed = tmp_path / "cache/bad_images.txt"
    assert str(listed) in message
    assert listed.read_text().count("almost no contrast") == 30


def test_a_few_that_show_nothing_are_counted_and_listed(tmp_path, load):
    tree(tmp_path / "images", 40)
    for number in range(3):
        black = Image.new("RGB", (32, 32), (number, 0, 0))
        save(tmp_path / "images" / f"black{number}.png", image=black)
    splits = load()
    assert "; 3 with almost no contrast;" in splits.note
    assert written_report(splits, tmp_path / "run")["low_contrast"] == 3
    assert "almost no contrast" in listed_by_report(tmp_path / "run")["black1.png"]


def test_a_range_is_a_flag_of_folders_with_16_bits(tmp_path, load):
    tree(tmp_path / "images", 30)
    with pytest.raises(InputError, match=r"16-bit images, and .* has none; leave it out"):
        load(pixel_range="0,4095")
    with pytest.raises(InputError, match="--pixel_range=dtype is of --dataset=folder"):
        Experiment.of(name="a", dataset="digits", pixel_range="dtype")
    with pytest.raises(InputError, match="--pixel_range=12bit: expected auto, dtype or LOW,HIGH"):
        Experiment.of(name="a", dataset="folder", pixel_range="12bit")


def test_another_range_does_not_take_the_pixels_that_are_cached(tmp_path, load):
    of_16_bits(tmp_path / "images", 25, 0, 4000)
    tree(tmp_path / "images", 5)
    first, second = load(), load(pixel_range="0,8000")
    again = load()
    of_8_bits = [name.endswith(".png") for name in first.train.images.names]
    same = [
        np.array_equal(*both)
        for both in zip(first.train.images[:], second.train.images[:], strict=True)
    ]
    assert same == of_8_bits
    np.testing.assert_array_equal(first.train.images[:], again.train.images[:])


def test_a_run_is_not_gone_on_with_in_another_range(tmp_path, load):
    of_16_bits(tmp_path / "images", 30, 0, 4000)
    run = tmp_path / "run"
    written_report(load(pixel_range="10,3000"), run)
    (run / "checkpoints").mkdir()
    load(pixel_range="10,3000").report.check(run)
    with pytest.raises(InputError, match=r"; give --pixel_range=10,3000, or another --name"):
        load().report.check(run)


# Folders that are splits.


def classes_in(folder, where, first=0, count=20):
    for number in range(first, first + count):
        save(folder / where / f"{number:03d}.png", number)


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
    splits = load(split="hash")
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
    with pytest.raises(InputError, match="--split=hash is of --dataset=folder"):
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


def test_too_few_images_of_the_test_are_told(tmp_path, load):
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
            "; for training also papers, beside them; labels: the 2 folders in Test and Training; "
            "20 for training have none; left out: 20 in test-multiple_fruits.",
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
    assert said in splits.note
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


# Folders that systems make.


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "@Recycle", ".thumbnails", "__MACOSX"]
    + ["System Volume Information", "$Recycle.Bin", "#snapshot", "FOUND.000", ".Trashes"],
)
def test_folders_that_systems_make_are_left_out_and_counted(tmp_path, load, name):
    for number, animal in enumerate(("cat", "dog")):
        classes_in(tmp_path / "images", animal, 20 * number)
    save(tmp_path / "images/cat" / name / "0.jpg" / "SYNOPHOTO_THUMB_M.jpg", 90)
    save(tmp_path / "images" / name / "1.png", 91)
    splits = load()
    assert splits.label_names == ("cat", "dog")
    assert len(splits.train) + len(splits.test) == 40
    assert f"left out: system folders ({name} 2)" in splits.note
    assert written_report(splits, tmp_path / "run")["system_folders"] == {name: 2}


def test_embeddings_leave_them_out_too(tmp_path):
    tree(tmp_path / "images", 2)
    save(tmp_path / "images/@eaDir/thumb.png", 3)
    save(tmp_path / "images/a/#recycle/old.png", 4)
    collection = image_collection.open_collection(str(tmp_path / "images"))
    assert [ids for ids, _ in collection.batches_from(0, 9)] == [["000.png", "001.png"]]


# Images that are there more than once.


def test_the_same_pixels_in_other_formats_are_one_image(tmp_path, load):
    for number in range(40):
        original = Image.fromarray(pixels(number))
        for suffix in ("png", "bmp", "tif"):
            save(tmp_path / "images" / f"{number}.{suffix}", image=original)
    splits = load()
    both = [{image.tobytes() for image in s.images[:]} for s in (splits.train, splits.test)]
    assert both[0].isdisjoint(both[1])
    assert len(splits.train) + len(splits.test) == 40
    assert written_report(splits, tmp_path / "run")["duplicates"] == 80


def test_the_same_pixels_with_other_metadata_are_one_image(tmp_path, load):
    exif = Image.Exif()
    exif[0x010E] = "a description"
    turned = Image.Exif()
    turned[0x0112] = 3
    for number in range(30):
        image = Image.fromarray(pixels(number))
        save(tmp_path / "images/a" / f"{number}.png", image=image, compress_level=1)
        save(tmp_path / "images/b" / f"{number}.png", image=image, compress_level=9)
        upside_down = image.transpose(Image.Transpose.ROTATE_180)
        save(tmp_path / "images/c" / f"{number}.tif", image=upside_down, exif=turned)
        save(tmp_path / "images/d" / f"{number}.webp", image=image, lossless=True, exif=exif)
    splits = load(labels="none")
    assert len(splits.train) + len(splits.test) == 30


def test_copying_an_image_in_another_format_moves_none(tmp_path, load):
    tree(tmp_path / "images", 40)
    before = {image.tobytes() for image in load().test.images[:]}
    for number in range(40):
        save(tmp_path / "images/copies" / f"{number}.bmp", number)
        os.unlink(tmp_path / "images" / f"{number:03d}.png")
    assert {image.tobytes() for image in load().test.images[:]} == before


# Labels that are others than before.


@pytest.fixture
def moved(tmp_path, load):
    """The same images before and after some of them are moved to another class."""
    for number, animal in enumerate(("cat", "dog")):
        classes_in(tmp_path / "images", animal, 40 * number, 40)
    before = load()
    for number in range(5):
        file = f"{number:03d}.png"
        shutil.move(tmp_path / "images/cat" / file, tmp_path / "images/dog" / file)
    return before, load()


def test_other_labels_are_told_when_a_run_goes_on(tmp_path, moved, capsys):
    before, after = moved
    assert before.fingerprint == after.fingerprint
    experiment = Experiment.of(
        name="a", dataset="folder", run_dir=str(tmp_path / "run"), model="supervised"
    )
    run_folder.prepare(experiment, before)
    run_folder.prepare(experiment, before)
    assert "labels" not in capsys.readouterr().out
    run_folder.prepare(experiment, after)
    assert "not the labels that" in capsys.readouterr().out


def test_other_classes_are_refused_by_what_tells_them_apart(tmp_path, load, moved):
    before, _ = moved
    run = tmp_path / "run"
    run.mkdir()
    data_fingerprint.record(run, before)
    shutil.move(tmp_path / "images/dog", tmp_path / "images/bird")
    with pytest.raises(InputError, match="begun on other classes than bird, cat"):
        data_fingerprint.check(run, load(), needs_indices=False, needs_labels=True)
    data_fingerprint.check(run, load(), needs_indices=False, needs_labels=False)


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


def test_a_package_that_was_installed_is_seen(tmp_path, load, monkeypatch):
    tree(tmp_path / "images", 30)
    save(tmp_path / "images/a.avif", 99)
    with monkeypatch.context() as without:
        without.setattr(pillow_decoder.features, "check", lambda name: False)
        written_report(load(), tmp_path / "run")
    why = listed_by_report(tmp_path / "run")["a.avif"]
    assert "AVIF, which this Pillow was built without" in why
    written_report(load(), tmp_path / "run")
    assert "a.avif" not in listed_by_report(tmp_path / "run")
