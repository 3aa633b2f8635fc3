"""Tests of the clean folder."""

import dataclasses
import os
import shutil

import pytest
import sample_curation
from PIL import Image

from dim_tf.collection.curation.clean_folder import write_clean_folder
from dim_tf.system.errors import InputError, RunError

CURATION = sample_curation.curated()
COPIES = {f"photos/{row:04d}.png" for row in range(260, 264)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for row, name in enumerate(CURATION.images.ids):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(CURATION.images.read_image(row)).save(path)
    (folder / "labels.csv").write_text("mine")
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("method", ["copy", "symlink"])
def test_one_of_each_group_is_written_and_nothing_of_the_users_is_touched(images, tmp_path, method):
    before = snapshot(images)
    clean = write_clean_folder(CURATION, images, tmp_path / "a/clean", method)
    assert files_of(clean.path) == set(CURATION.images.ids) - COPIES
    assert (clean.images, clean.duplicates, clean.outliers) == (260, 4, 0)
    for name in ("photos/0000.png", "photos/0010.png"):
        path = clean.path / name
        assert path.is_symlink() == (method == "symlink")
        assert path.read_bytes() == (images / name).read_bytes()
    assert snapshot(images) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["clean"]


def test_a_copy_is_a_file_of_its_own(images, tmp_path):
    clean = write_clean_folder(CURATION, images, tmp_path / "clean", "copy")
    path = clean.path / "photos/0000.png"
    assert not os.path.samefile(path, images / "photos/0000.png")
    assert path.stat().st_mtime == pytest.approx((images / "photos/0000.png").stat().st_mtime)


def test_outliers_are_left_out_when_asked(images, tmp_path):
    clean = write_clean_folder(
        CURATION, images, tmp_path / "clean", "symlink", without_outliers=True
    )
    assert clean.outliers == CURATION.outliers.is_outlier.sum() >= 1
    assert "photos/0010.png" not in files_of(clean.path)


def test_an_empty_folder_is_filled(images, tmp_path):
    write_clean_folder(CURATION, images, tmp_path, "symlink")
    assert len(files_of(tmp_path)) == 260


def test_places_that_would_mix_with_the_users_files_are_refused(images, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("")
    file = tmp_path / "file"
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(images / "photos")
    cases = {
        images / "photos/clean": "inside of the images' folder",
        images: "inside of the images' folder",
        link / "clean": "inside of the images' folder",
        images / "../" / images.name / "x": "inside of the images' folder",
        images.parent: "holds the images' folder",
        full: "is not empty",
        file: "is no folder",
    }
    before = files_of(tmp_path) | files_of(images)
    for target, words in cases.items():
        with pytest.raises(InputError, match=words):
            write_clean_folder(CURATION, images, target, "copy")
    assert files_of(tmp_path) | files_of(images) == before


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "", "a/../../b.png"])
def test_ids_that_leave_the_folder_are_refused(images, tmp_path, name):
    ids = [name, *CURATION.images.ids[1:]]
    odd = dataclasses.replace(CURATION, images=dataclasses.replace(CURATION.images, ids=ids))
    with pytest.raises(InputError, match="no path inside of a folder"):
        write_clean_folder(odd, images, tmp_path / "clean", "copy")
    assert not list(tmp_path.iterdir())


def test_a_missing_image_is_refused_before_anything_is_written(images, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(images, source)
    (source / "photos/0100.png").unlink()
    with pytest.raises(InputError, match=r"0100\.png is no file"):
        write_clean_folder(CURATION, source, tmp_path / "clean", "copy")
    assert not (tmp_path / "clean").exists()


def test_a_copy_that_fails_leaves_nothing(images, tmp_path, monkeypatch):
    actual = shutil.copy2

    def full(source, target):
        if source.name == "0100.png":
            raise OSError(28, "No space left on device")
        return actual(source, target)

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_clean_folder(CURATION, images, tmp_path / "clean", "copy")
    assert not list(tmp_path.iterdir())


def test_a_source_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is none"):
        write_clean_folder(CURATION, tmp_path / "images.zip", tmp_path / "clean", "copy")
