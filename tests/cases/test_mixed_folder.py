"""Some 200 files of every format and fault in one folder: what becomes of each, and all the way."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sample_files

from dim_tf.data import DataRequest
from dim_tf.data.sources import folder

SYSTEM_FOLDERS = 8  # `sample_files.mixed_folder` makes


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mixed"
    return path, sample_files.mixed_folder(path)


def listed(path: Path) -> dict[str, str]:
    """bad_images.txt: name -> why."""
    return dict(line.split("\t") for line in path.read_text("utf-8").splitlines())


def expected_lines(fates):
    """What bad_images.txt has to say of each file that is not read, and of none other."""
    lines = {}
    for name, fate in fates.items():
        if fate.startswith("unreadable: "):
            lines[name] = fate.removeprefix("unreadable: ")
        elif fate.startswith("duplicate of "):
            lines[name] = f"same as {fate.removeprefix('duplicate of ')}"
        elif fate == "tiny":
            lines[name] = "tiny: less than 8 pixels high or wide"
    return lines


def check_lines(lines, fates):
    kept = {name for name, why in lines.items() if why.startswith("kept, ")}
    assert {name: why for name, why in lines.items() if name not in kept} == expected_lines(fates)
    assert all(fates[name] == "image" for name in kept)


def check_note(note, fates):
    counts = [fate.partition(":")[0].partition(" of ")[0] for fate in fates.values()]
    assert note.startswith(f"{counts.count('image')} images of the folder mixed, ")
    for text in ("unreadable", "tiny"):
        assert f"{counts.count(text)} {text}" in note
    assert f"{counts.count('duplicate')} repeated" in note
    assert len(re.findall(r"[\w$#@+ -]+ \d+", note.partition("system folders")[2])) == (
        SYSTEM_FOLDERS
    )
    assert "of 16 bits, of which the values 112 to 3952 become black to white" in note


def test_each_file_is_read_or_listed_with_its_fault(mixed, tmp_path):
    path, fates = mixed
    assert len(fates) >= 200
    splits = folder.load(
        DataRequest(str(path), cache_dir=str(tmp_path), max_unreadable_fraction=0.2)
    )
    assert len(splits.train) + len(splits.test) == list(fates.values()).count("image")
    splits.report.write(tmp_path)
    check_lines(listed(tmp_path / "bad_images.txt"), fates)
    check_note(splits.note, fates)


def test_as_many_faults_are_refused_without_a_flag(mixed, tmp_path):
    path, fates = mixed
    with pytest.raises(folder.InputError, match=r"more than --max_unreadable_fraction=0\.05"):
        folder.load(DataRequest(str(path), cache_dir=str(tmp_path)))
    check_lines(listed(tmp_path / "bad_images.txt"), fates)


@pytest.mark.slow
def test_the_folder_goes_the_whole_way_by_one_command(mixed, tmp_path):
    path, fates = mixed
    command = [sys.executable, "-m", "dim_tf.main", "--dataset=folder", f"--data_dir={path}"]
    small = (
        "--max_unreadable_fraction=0.2 --image_size=32 --steps=4 --batch_size=32 --critic_units=16"
    )
    fast = "--measures=knn --noreferences --tflite=none --cache_dir=cache"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # set for the tests
    done = subprocess.run(
        [*command, *small.split(), *fast.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    note = next(line for line in done.stdout.splitlines() if line.startswith("data: "))
    check_note(note.removeprefix("data: "), fates)
    check_lines(listed(tmp_path / "runs/mixed/bad_images.txt"), fates)
    metadata = tmp_path / "exported/mixed/1/assets/metadata.json"
    assert json.loads(metadata.read_text("utf-8"))["pixel_range"] == [112, 3952]
