"""Files are written whole or not at all, and read as far as they are whole."""

import json
import os

import pytest

from dim_tf.system import files, json_files
from dim_tf.system.errors import InputError, one_line
from dim_tf.system.files import (
    atomic_replace,
    atomic_write_text,
    remove_temporary_files,
    temporary_path,
)
from dim_tf.system.json_files import json_with_checksum, read_json_with_checksum


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "a.json"
    atomic_write_text(file, "first")
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(file, "second \ud800")
    assert file.read_text() == "first"
    atomic_write_text(file, "third")
    assert file.read_text() == "third"
    assert list(tmp_path.iterdir()) == [file]


def test_a_flipped_bit_of_a_checked_file_is_seen_or_changes_nothing(tmp_path):
    file = tmp_path / "a.json"
    content = {"mlp_probe": {"conv": 0.1 + 0.2}, "n": [1, None, "é"]}
    whole = json_with_checksum(content).encode()
    file.write_bytes(whole)
    assert read_json_with_checksum(file) == content
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        try:
            read = read_json_with_checksum(file)
        except ValueError:
            continue
        # The name of the checksum may be hit, and spaces: the content is the same.
        assert {name: read[name] for name in content} == content


def test_a_file_without_a_checksum_is_not_checked(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"knn": 1}))
    assert read_json_with_checksum(file) == {"knn": 1}
    file.write_text("[1]")
    with pytest.raises(ValueError, match="no object"):
        read_json_with_checksum(file)


def test_what_a_killed_process_left_goes_away(tmp_path):
    keep = tmp_path / "a.json"
    keep.write_text("whole")
    temporary_path(keep).write_text("half")
    folder = temporary_path(tmp_path / "ckpt-1")
    folder.mkdir()
    (folder / "ckpt-1.index").write_text("half")
    remove_temporary_files(tmp_path)
    assert list(tmp_path.iterdir()) == [keep]


def test_a_strangers_hidden_files_stay(tmp_path):
    (tmp_path / ".x.tmp").write_text("")
    (tmp_path / f".x.{'A' * 32}.tmp").mkdir()
    (tmp_path / f".{'0' * 32}.tmp").mkdir()
    before = sorted(tmp_path.iterdir())
    remove_temporary_files(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """The slower one writes over a whole file, never into the quicker one's."""
    file = tmp_path / "a.json"
    with atomic_replace(file) as slow:
        slow.write_text("half")
        atomic_write_text(file, "quick")
        assert file.read_text() == "quick"
        slow.write_text("slow")
    assert file.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_no_json_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    file = tmp_path / "a.json"
    wrong = {"no such": None, "no object": b"[1]", "larger": b" " * 101, "utf-8": b"\xff"}
    wrong["No such file"] = wrong.pop("no such")
    for says, content in wrong.items():
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=rf"a.json cannot be read \(.*{says}.*\); mend it"):
            json_files.read_json(file, "mend it")
        file.unlink(missing_ok=True)
    with pytest.raises(InputError, match="Is a directory"):
        json_files.read_json(tmp_path, "mend it")


def test_a_file_is_no_folder(tmp_path):
    file = tmp_path / "a"
    file.write_text("")
    with pytest.raises(InputError, match=r"a/b cannot be made .*; give another --run_dir"):
        files.make_folder(file / "b", "--run_dir")


def test_a_message_is_one_line_and_obeyed_by_no_terminal():
    assert one_line("a\nb\x1b[2J\ud800ü") == r"a\nb\x1b[2J\ud800ü"
    long = one_line("x" * 10**6, 100)
    assert len(long) < 150
    assert "999,900 characters" in long


def write_target(folder):
    target = folder / "target"
    target.mkdir()
    (target / "earlier").touch()
    return target


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_appears_whole(tmp_path):
    target = write_target(tmp_path)
    for name in ("first", "second"):
        with files.atomic_replace_folder(target) as staging:
            (staging / name).touch()
        assert names(tmp_path) == ["target", f"target/{name}"]


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_folder_replaces_what_is_no_folder(kind, tmp_path):
    target, other = tmp_path / "target", tmp_path / "other"
    if kind == "file":
        target.touch()
    else:
        target.symlink_to(other)
    if kind == "link":
        other.mkdir()
        (other / "kept").touch()
    with files.atomic_replace_folder(target) as staging:
        (staging / "new").touch()
    kept = ["other", "other/kept"] if kind == "link" else []
    assert names(tmp_path) == [*kept, "target", "target/new"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("when", ["written", "old renamed", "new renamed"])
@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_a_folder_that_cannot_be_replaced_is_as_before(kind, when, error, tmp_path, monkeypatch):
    if kind == "folder":
        target, before = write_target(tmp_path), ["target", "target/earlier"]
    else:
        target, before = tmp_path / "target", ["target"]
        target.symlink_to("nowhere")
    rename = os.rename
    calls = []

    def failing(a, b):
        calls.append(a)
        if len(calls) == {"old renamed": 1, "new renamed": 2}.get(when, 9):
            raise error("no")
        rename(a, b)

    monkeypatch.setattr(os, "rename", failing)

    def replace():
        with files.atomic_replace_folder(target) as staging:
            (staging / "new").touch()
            if when == "written":
                raise error("no")

    with pytest.raises(error, match="no"):
        replace()
    assert names(tmp_path) == before
    assert target.is_symlink() == (kind == "dangling link")


@pytest.mark.parametrize(
    ("name", "inside"),
    [("a", True), ("a/b..", True), ("", False), ("..", False), ("a/../b", False), ("/a", False)]
    + [("C:a", False), ("a\\b", False), ("a\0", False)],
)
def test_paths_inside(name, inside):
    assert files.is_inside(name) == inside
