"""Folders as cameras, microscopes, NAS and data sets' authors leave them."""

import os
import shutil

import pytest
import sample_folders
from PIL import Image
from sample_folders import classes_in, listed_by_report, written_report
from sample_images import pixels, save, tree

from dim_tf.collection import image_collection
from dim_tf.data.folder import pillow_decoder
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.training import data_fingerprint, run_folder


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images."""
    return sample_folders.loader(tmp_path)


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


def test_other_labels_are_reported_when_a_run_goes_on(tmp_path, moved, capsys):
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


def test_other_classes_are_refused_by_models_that_need_labels(tmp_path, load, moved):
    before, _ = moved
    run = tmp_path / "run"
    run.mkdir()
    data_fingerprint.record(run, before)
    shutil.move(tmp_path / "images/dog", tmp_path / "images/bird")
    with pytest.raises(InputError, match="begun on other classes than bird, cat"):
        data_fingerprint.check(run, load(), needs_indices=False, needs_labels=True)
    data_fingerprint.check(run, load(), needs_indices=False, needs_labels=False)


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
