"""The curation of a folder by an export."""

import csv
import json

import numpy as np
import pytest
import small_export
from PIL import Image

import dim_tf
from dim_tf.system.errors import InputError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    small_export.save(path)
    (path / "assets" / "metadata.json").write_text("{}")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 images in two classes, their first in both, and the third a JPEG's copy."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(30):
        # Smooth: a copy by JPEG is near it.
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
        image = coarse.resize((32, 32), Image.Resampling.BICUBIC)
        path = root / ("cat", "dog")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
        if number == 2:
            image.save(root / "dog" / "copy.jpg", quality=90)
    return root


def test_a_copy_is_found_with_its_label_and_left_out_of_the_clean_folder(
    folder, exported, tmp_path, capsys
):
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    curation = dim_tf.curate(
        folder,
        exported,
        out=tmp_path / "run",
        apply="copy",
        apply_dir=tmp_path / "clean",
        subset_size=5,
    )
    lines = list(csv.DictReader((tmp_path / "run/curate/duplicates.csv").open()))
    assert {line["id"] for line in lines} == {"cat/02.png", "dog/copy.jpg"}
    summary = json.loads((tmp_path / "run/curate/curation.json").read_text())
    assert summary["duplicates"]["redundant"] == 1
    assert summary["duplicates"] == curation.summary()["duplicates"]
    assert len(summary["duplicates"]["recall_of_copies"]) == 4
    assert len((tmp_path / "run/curate/subset.csv").read_text().splitlines()) == 6
    assert curation.images.label_names == ("cat", "dog")
    assert len([path for path in (tmp_path / "clean").rglob("*.*") if path.is_file()]) == 30
    said = capsys.readouterr().out
    assert "curate: copies of others: 1, groups: 1; " in said
    assert "30 images, without 1 copies and 0 outliers" in said
    assert "curate.html" in said
    accuracy = summary["labels"]["accuracy"]
    assert f"the classifier that doubts them agrees with {accuracy:.0%} of all labels" in said
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before


def test_one_image_is_too_few(folder, exported, tmp_path):
    alone = tmp_path / "images"
    alone.mkdir()
    Image.open(folder / "cat/00.png").save(alone / "a.png")
    with pytest.raises(InputError, match="1 image that can be decoded; expected at least 2"):
        dim_tf.curate(alone, exported, out=tmp_path / "run", verbose=0)


def test_a_clean_folder_is_of_one_folder(exported, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for path in folders:
        path.mkdir()
    with pytest.raises(InputError, match="give a single folder"):
        dim_tf.curate(folders, exported, apply="copy", apply_dir=tmp_path / "c", verbose=0)
