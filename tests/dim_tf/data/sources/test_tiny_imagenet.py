"""Tiny ImageNet: its TFDS builder, and its archive or folder read directly."""

import zipfile

import numpy as np
import pytest
import sample_files

from dim_tf import data
from dim_tf.data.sources import tiny_imagenet
from dim_tf.system.errors import InputError


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny_imagenet") / "tiny-imagenet-200.zip"
    sample_files.tiny_imagenet(path)
    return path


def load(folder, size=0):
    return data.load("tiny_imagenet", data.DataRequest(str(folder), size, download=False))


@pytest.mark.slow
def test_archive_folder_and_tfds_builder_give_the_same(archive, tmp_path, monkeypatch):
    expected = load(archive.parent)
    assert expected.image_shape == (64, 64, 3)
    assert (len(expected.train), len(expected.test)) == (200, 6)
    assert sorted(expected.train.labels) == list(range(200))
    assert set(expected.test.labels) == {0, 3, 6, 9, 12, 15}
    assert expected.label_names[1] == "n10000007 word n10000007"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "unpacked")
    sample_files.same(load(tmp_path / "unpacked"), expected)
    sample_files.same(load(tmp_path / "unpacked" / "tiny-imagenet-200"), expected)
    sample_files.build(monkeypatch, "tiny_imagenet", tmp_path / "tfds", archive)
    sample_files.same(load(tmp_path / "tfds"), expected)


def test_the_download_is_checked():
    about = tiny_imagenet.TinyImagenet.url_infos[tiny_imagenet.URL]
    assert about.size == 248_100_043
    assert about.checksum == "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
    assert about.filename == "tiny-imagenet-200.zip"


@pytest.mark.slow
def test_gray_images_become_three_channels(tmp_path):
    sample_files.tiny_imagenet(tmp_path / "tiny-imagenet-200.zip", per_class=2)
    images = load(tmp_path, 8).train.images
    gray = (images == images[..., :1]).all(axis=(1, 2, 3))
    assert np.count_nonzero(gray) == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("wnids.txt", "n10000000\n", "has 1 classes; expected 200"),
        ("wnids.txt", None, "has no file .*wnids.txt"),
        ("val/val_annotations.txt", "val_0.JPEG\tn99999999\n", "unknown class 'n99999999'"),
        ("val/val_annotations.txt", "../../x.JPEG\tn10000000\n", "is not FILE.JPEG, tab, class"),
        ("val/val_annotations.txt", "", "has 0 images of test"),
        ("val/images/val_3.JPEG", "no image", "val_3.JPEG in .* is no JPEG of 64x64"),
    ],
)
def test_broken_files_are_named(archive, tmp_path, file, text, says):
    with (
        zipfile.ZipFile(archive) as old,
        zipfile.ZipFile(tmp_path / archive.name, "w") as new,
    ):
        for name in old.namelist():
            if name != f"tiny-imagenet-200/{file}":
                new.writestr(name, old.read(name))
        if text is not None:
            new.writestr(f"tiny-imagenet-200/{file}", text)
    with pytest.raises(InputError, match=says):
        load(tmp_path, 8)
