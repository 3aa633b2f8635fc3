"""Files are written whole or not at all."""

import pytest

from dim_tf.files import replace_text, replacing


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "a.json"
    replace_text(file, "first")
    with pytest.raises(UnicodeEncodeError):
        replace_text(file, "second \ud800")
    assert file.read_text() == "first"
    replace_text(file, "third")
    assert file.read_text() == "third"
    assert list(tmp_path.iterdir()) == [file]


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
