"""Files of a stage: all of one call, or those that were there before."""

import hashlib
import os

import pytest

from dim_tf.system import result_files
from dim_tf.system.errors import RunError
from dim_tf.system.json_files import read_json_with_checksum
from dim_tf.system.result_files import write_result_files

TEXTS = {"a.csv": "id\n1\n", "b.csv": "id\n2\n", "page.html": "<html></html>\n"}


@pytest.fixture
def written(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write_result_files(tmp_path, TEXTS, "all.json", {"images": 3}, ("a.csv", "b.csv", "c.csv"))
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_summary_has_the_checksums_of_all_files(written):
    summary = read_json_with_checksum(written / "all.json")
    assert summary["images"] == 3
    assert summary["files"] == {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in TEXTS.items()
    }
    assert set(contents(written)) == {*TEXTS, "all.json", "notes.txt"}


def test_files_that_no_longer_apply_are_removed(written):
    write_result_files(written, {"c.csv": ""}, "all.json", {}, ("a.csv", "b.csv", "c.csv"))
    assert set(contents(written)) == {"c.csv", "page.html", "all.json", "notes.txt"}


def test_a_write_that_fails_leaves_the_files_before(written, monkeypatch):
    before, actual = contents(written), result_files._write

    def full(path, text):
        if "b.csv" in path.name:
            raise OSError(28, "No space left on device")
        actual(path, text)

    monkeypatch.setattr(result_files, "_write", full)
    with pytest.raises(RunError, match=r"the results in .*: No space left on device \(.* are free"):
        write_result_files(written, dict.fromkeys(TEXTS, "other"), "all.json", {})
    assert contents(written) == before


def test_a_replacement_that_fails_leaves_no_summary(written, monkeypatch):
    actual, count = os.replace, iter(range(10))

    def fail_later(source, target):
        if next(count) == 2:
            raise OSError(5, "Input/output error")
        actual(source, target)

    monkeypatch.setattr(os, "replace", fail_later)
    with pytest.raises(RunError, match="Input/output error"):
        write_result_files(written, dict.fromkeys(TEXTS, "other"), "all.json", {})
    assert not (written / "all.json").exists()
    assert not list(written.glob(".*.tmp"))
