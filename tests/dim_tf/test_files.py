"""Files are written whole or not at all, and read as far as they are whole."""

import pytest

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
