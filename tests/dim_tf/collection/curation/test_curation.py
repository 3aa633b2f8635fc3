"""Tests of the curation as a whole: its summary, and its CSV files."""

import csv
import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sample_curation

from dim_tf.collection.curation import csv_files
from dim_tf.collection.curation.csv_files import write_curation
from dim_tf.collection.curation.curation import curate
from dim_tf.settings.curation import CurationSettings
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import read_json_with_checksum

CURATION = sample_curation.curated()


def rows_of(folder, name):
    with open(folder / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def written(tmp_path):
    write_curation(CURATION, tmp_path, "<html></html>")
    return tmp_path


def test_duplicates_are_listed_group_by_group_with_the_image_to_keep(written):
    rows = rows_of(written, "duplicates.csv")
    assert len(rows) == 8
    assert [row["keep"] for row in rows] == ["yes", "no"] * 4
    by_id = {row["id"]: row for row in rows}
    for number, words in enumerate(("copy", "copy", "cropped", "mirrored")):
        copy = by_id[f"photos/{260 + number:04d}.png"]
        assert copy["like"] == f"photos/{number:04d}.png"
        assert copy["relation"] == words
        assert copy["keep"] == "no"
        assert 0 <= float(copy["pixel_distance"]) < 0.35
        assert copy["labels_differ"] == ("yes" if number == 3 else "no")


def test_leaks_name_the_test_image_and_its_copy(written):
    rows = rows_of(written, "leaks.csv")
    pairs = {(row["id"], row["train_id"]) for row in rows}
    assert pairs == {(f"photos/{260 + i:04d}.png", f"photos/{i:04d}.png") for i in range(4)}
    similarities = [float(row["similarity"]) for row in rows]
    assert similarities == sorted(similarities, reverse=True)


def test_outliers_come_first_and_the_next_ones_after_them(written):
    rows = rows_of(written, "outliers.csv")
    assert rows[0]["id"] == "photos/0010.png"
    assert rows[0]["outlier"] == "yes"
    assert float(rows[0]["p_value"]) < 1e-3
    assert len(rows) == csv_files.LISTED_OUTLIERS
    assert rows[-1]["outlier"] == "no"


def test_wrong_labels_are_named(written):
    rows = rows_of(written, "label_issues.csv")
    named = {row["id"]: (row["given"], row["suggested"]) for row in rows}
    for row in (21, 42, 63, 84):
        right = ("red", "blue")[row % 2]
        assert named[f"photos/{row:04d}.png"] == ({"red": "blue", "blue": "red"}[right], right)
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_the_subset_has_neither_copies_nor_outliers(written):
    rows = rows_of(written, "subset.csv")
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 13)]
    left_out = {"photos/0010.png", *(f"photos/{260 + i:04d}.png" for i in range(4))}
    assert not left_out & {row["id"] for row in rows}


def test_the_summary_has_the_counts_the_rates_and_the_files_checksums(written):
    summary = read_json_with_checksum(written / "curation.json")
    assert summary["images"] == 264
    assert summary["duplicates"]["redundant"] == 4
    rates = summary["duplicates"]["false_match_rates"]
    assert rates["pixels_of_random_pairs"]["pairs"] > 2000
    assert rates["pixels_of_random_pairs"]["upper_95"] > 0
    assert summary["leaks"] == {"test_images": 4, "leaked": 4, "fraction": 1.0}
    assert summary["outliers"]["images"] >= 1
    assert summary["labels"]["issues"] == len(rows_of(written, "label_issues.csv"))
    assert 0 < summary["subset"]["coverage"]["mean"] < 2
    for name, digest in summary["files"].items():
        assert hashlib.sha256((written / name).read_bytes()).hexdigest() == digest
    assert set(summary["files"]) == {*csv_files.CSV_FILES, "curate.html"}


def test_without_labels_and_split_these_files_are_not_there(written):
    images = dataclasses.replace(CURATION.images, labels=None, is_test=None)
    plain = dataclasses.replace(CURATION, images=images, labels=None, leaks=None)
    (written / "notes.txt").write_text("mine")
    write_curation(plain, written, "<html></html>")
    assert sorted(path.name for path in written.iterdir()) == [
        "curate.html",
        "curation.json",
        "duplicates.csv",
        "notes.txt",
        "outliers.csv",
        "subset.csv",
    ]
    assert json.loads((written / "curation.json").read_text())["labels"] is None


def test_a_name_that_is_no_utf8_keeps_its_bytes(tmp_path):
    ids = list(CURATION.images.ids)
    ids[10] = os.fsdecode(b"photos/\xff.png")
    odd = dataclasses.replace(CURATION, images=dataclasses.replace(CURATION.images, ids=ids))
    write_curation(odd, tmp_path, "")
    assert b"photos/\xff.png" in (tmp_path / "outliers.csv").read_bytes()


def test_labels_of_one_class_do_not_stop_the_rest():
    images = dataclasses.replace(CURATION.images, labels=np.zeros(264, np.int64))
    curation = sample_curation.curated(images)
    assert curation.labels is None
    assert "expected at least 2" in curation.summary()["labels"]["not_checked"]
    assert len(curation.duplicates.keepers) == 4


def test_without_pixels_no_image_is_read():
    def read(row):
        raise AssertionError("read")

    images = dataclasses.replace(CURATION.images, read_image=read)
    curation = sample_curation.curated(images, duplicate_pixels=False)
    assert not curation.duplicates.is_confirmed


def test_wrong_inputs_are_refused():
    images = CURATION.images
    neighbours = sample_curation.neighbours_of(images.features)
    settings = CurationSettings()

    def message(lists=neighbours, **changes):
        with pytest.raises(InputError) as error:
            curate(dataclasses.replace(images, **changes), lists, settings)
        return str(error.value)

    assert message(features=images.features[:-1]) == (
        "features of 263 images; expected 264, one for each id"
    )
    assert "labels of 3 images" in message(labels=np.zeros(3, np.int64))
    broken = images.features.copy()
    broken[100, 3] = np.nan
    assert "not finite" in message(features=broken)
    few = dataclasses.replace(
        neighbours, rows=neighbours.rows[:, :4], similarities=neighbours.similarities[:, :4]
    )
    assert "4 neighbours" in message(few)


def test_settings_name_a_place_for_a_clean_folder():
    with pytest.raises(InputError, match="give --apply_dir"):
        CurationSettings(apply="copy")
    with pytest.raises(InputError, match="without --apply"):
        CurationSettings(apply_dir="x")
    with pytest.raises(InputError, match="expected one of"):
        CurationSettings(apply="move")


def test_no_tensorflow_is_imported():
    code = (
        "import sys, dim_tf.collection.curation.curation_page;"
        "import dim_tf.collection.curation.clean_folder;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
