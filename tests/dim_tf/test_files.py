"""Files are written whole or not at all, and read as far as they are whole."""

import pytest

from dim_tf import files
from dim_tf.errors import InputError, one_line
from dim_tf.files import read_json_lines, replace_text, replacing


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "a.json"
    replace_text(file, "first")
    with pytest.raises(UnicodeEncodeError):
        replace_text(file, "second \ud800")
    assert file.read_text() == "first"
    replace_text(file, "third")
    assert file.read_text() == "third"
    assert list(tmp_path.iterdir()) == [file]


def test_lines_are_read_up_to_one_that_was_cut_off(tmp_path):
    file = tmp_path / "a.jsonl"
    assert read_json_lines(file) == []
    file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert read_json_lines(file) == [{"step": 1}, {"step": 2}]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """The slower one writes over a whole file, never into the quicker one's."""
    file = tmp_path / "a.json"
    with replacing(file) as slow:
        slow.write_text("half")
        replace_text(file, "quick")
        assert file.read_text() == "quick"
        slow.write_text("slow")
    assert file.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "damaged", ["5", "[]", "null", '{"a": 1', "\xff", "[" * 10_000, '{"a": 1, "a": 2}']
)
def test_lines_are_read_up_to_one_that_is_damaged(tmp_path, damaged):
    file = tmp_path / "a.jsonl"
    file.write_bytes(f'{{"step": 1}}\n{damaged}\n{{"step": 3}}\n'.encode("latin-1"))
    assert read_json_lines(file) == [{"step": 1}]


def test_a_json_file_that_is_none_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    file = tmp_path / "a.json"
    wrong = {"no such": None, "no object": b"[1]", "larger": b" " * 101, "utf-8": b"\xff"}
    wrong["No such file"] = wrong.pop("no such")
    for says, content in wrong.items():
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=rf"a.json cannot be read \(.*{says}.*\); mend it"):
            files.read_json(file, "mend it")
        file.unlink(missing_ok=True)
    with pytest.raises(InputError, match="Is a directory"):
        files.read_json(tmp_path, "mend it")


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
