"""A run that is exported twice gives the same bytes."""

import os
import subprocess
import sys

import pytest

from dim_tf.export import card_sections, tflite, verify
from dim_tf.export.card_sections import TFLiteFile
from dim_tf.system.errors import InputError
from dim_tf.system.source_date import source_date_epoch

OPTIONS = ("--quantized", "--tflite_endpoints", "--neighbours_index=train")


def run(folder, *flags, epoch=None):
    environment = {name: x for name, x in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    if epoch is not None:
        environment["SOURCE_DATE_EPOCH"] = epoch
    command = [sys.executable, "-m", "dim_tf.main", "--flagfile=flags/digits.cfg"]
    command += [f"--run_dir={folder}/run", f"--export_dir={folder}/exported", *flags]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def differing(a, b):
    """The paths of the files that two folders do not share byte by byte."""
    contents = [
        {
            path.relative_to(x).as_posix(): path.read_bytes()
            for path in x.rglob("*")
            if path.is_file()
        }
        for x in (a, b)
    ]
    paths = contents[0].keys() | contents[1].keys()
    return {path for path in paths if contents[0].get(path) != contents[1].get(path)}


@pytest.mark.slow
def test_a_run_exported_twice_gives_the_same_bytes(tmp_path):
    run(tmp_path, "--mode=train", "--steps=2")
    for epoch in ("1700000000", "1700000000", None):
        run(tmp_path, "--mode=export", *OPTIONS, epoch=epoch)
    versions = [tmp_path / "exported" / "digits" / str(number) for number in (1, 2, 3)]
    assert len(list(versions[0].glob("*.tflite"))) == 7
    assert differing(versions[0], versions[1]) == set()
    # The card has measured times; the sums have that of the card.
    assert differing(versions[0], versions[2]) == {"README.md", verify.SUMS_FILE}
    assert "ms an image" not in (versions[0] / "README.md").read_text(encoding="utf-8")
    assert "ms an image" in (versions[2] / "README.md").read_text(encoding="utf-8")


def test_a_difference_is_found(tmp_path):
    for name, text in (("a", "same"), ("b", "sane")):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / "in" / "file").write_text(text, encoding="utf-8")
    (tmp_path / "b" / "extra").touch()
    assert differing(tmp_path / "a", tmp_path / "b") == {"in/file", "extra"}


def test_a_card_without_times_has_no_column_of_them():
    files = [TFLiteFile(tflite.VARIANTS[0], 10, {"mean cosine": "1"}, None, "2.0")]
    section = card_sections.tflite_section(files, 32, 32, 3, "The cosine", "ImageEmbedder")
    assert "ms an image" not in section
    assert "The cosine, on 32 images of the test split.\n" in section
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "9" * 12, "²"])
def test_a_time_that_is_none_is_refused(text, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(InputError, match=f"SOURCE_DATE_EPOCH={text} is no number of seconds"):
        source_date_epoch()


def test_the_time_of_the_variable(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert source_date_epoch() == 1700000000
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert source_date_epoch() is None
