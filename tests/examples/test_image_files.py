"""The folder that docs/TUTORIAL.md is about, as the project itself reads it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dim_tf.data import DataRequest, load
from dim_tf.data.folder import decoding
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.splits import Split

FILE = Path(__file__).parents[2] / "examples/image_files.py"
COUNT = 120


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("image_files", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(example, tmp_path_factory):
    """The folder with images of digits, and the table of their classes."""
    out = tmp_path_factory.mktemp("written")
    arguments = ["image_files", "--dataset=digits", f"--count={COUNT}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [*arguments, f"--out={out}/photos", f"--labels={out}/photos.csv"])
        example.main()
    return out


def test_folder_holds_the_images_whatever_their_format_size_and_orientation(example, written):
    originals = load("digits", DataRequest()).train.images
    kinds = set()
    for number in range(COUNT):
        path = written / "photos" / example.image_path(number)
        with Image.open(path) as image:
            kinds.add((path.suffix, image.width > image.height, image.getexif().get(0x0112)))
        read = decoding.decode_to_size(path, ImageFrame.of(28))
        difference = read.astype(float) - originals[number]
        assert np.sqrt(np.mean(difference**2)) < 16, path
    assert {
        (".jpg", False, 6),
        (".jpg", True, 6),
        (".jpg", False, 3),
        (".png", True, None),
    } <= kinds


def test_project_takes_the_folder_without_labels_and_names_what_is_broken(written, tmp_path):
    request = DataRequest(data_dir=str(written / "photos"), image_size=32, cache_dir=str(tmp_path))
    splits = load("folder", request)
    assert len(splits.train) + len(splits.test) == COUNT
    assert splits.train.labels is None
    splits.report.write(tmp_path)
    bad = (tmp_path / "bad_images.txt").read_text()
    for name in ("empty.jpg", "cut off.jpg", "a page.png", "zeros.webp", "half a head.gif"):
        assert name in bad


def test_classes_are_written_beside_the_folder(example, written):
    lines = (written / "photos.csv").read_text().splitlines()
    splits = load("digits", DataRequest())
    classes = [splits.label_names[label] for label in splits.train.labels[:COUNT]]
    assert lines[0] == "file,label"
    assert lines[1:] == [f"{example.image_path(n)},{name}" for n, name in enumerate(classes)]


def test_what_is_there_is_left_alone(example, written, tmp_path, monkeypatch):
    for there, option in ((written / "photos", "--out"), (written / "photos.csv", "--labels")):
        paths = {"--out": tmp_path / "photos", "--labels": tmp_path / "photos.csv", option: there}
        monkeypatch.setattr("sys.argv", ["image_files", *(f"{o}={p}" for o, p in paths.items())])
        with pytest.raises(SystemExit, match=f"exists; remove it or give another {option}"):
            example.main()
        assert list(tmp_path.iterdir()) == []


def test_images_without_labels_are_refused_before_anything_is_written(
    example, tmp_path, monkeypatch
):
    class Unlabelled:
        train = Split(np.zeros((3, 8, 8, 3), np.uint8), None)

    monkeypatch.setattr(example, "load", lambda *_: Unlabelled)
    arguments = [f"--out={tmp_path}/photos", f"--labels={tmp_path}/photos.csv", "--dataset=stl10"]
    monkeypatch.setattr("sys.argv", ["image_files", *arguments])
    with pytest.raises(SystemExit, match="training images of stl10 have no labels"):
        example.main()
    assert list(tmp_path.iterdir()) == []
