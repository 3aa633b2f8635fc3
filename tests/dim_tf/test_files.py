"""Files are written whole or not at all."""

import pytest

from dim_tf.files import replace_text


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "a.json"
    replace_text(file, "first")
    with pytest.raises(UnicodeEncodeError):
        replace_text(file, "second \ud800")
    assert file.read_text() == "first"
    replace_text(file, "third")
    assert file.read_text() == "third"
    assert list(tmp_path.iterdir()) == [file]
