"""The idx reader takes what is right and refuses the rest."""

import gzip
import struct

import numpy as np
import pytest
import sample_files

from dim_tf.data.sources import idx
from dim_tf.system.errors import InputError

VALUES = np.arange(24).reshape(2, 3, 4)
FILE = sample_files.idx(VALUES)


def written(folder, data, name="file"):
    (folder / name).write_bytes(data)
    return folder / name


def test_plain_and_compressed(tmp_path):
    for path in (written(tmp_path, FILE), written(tmp_path, gzip.compress(FILE), "file.gz")):
        read = idx.read_idx(path, (None, 3, 4))
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, VALUES)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "begins with nothing"),
        (FILE[:9], "no idx file"),
        (b"\x00\x00\x0d\x03" + FILE[4:], "no idx file"),
        (sample_files.idx(VALUES[0]), "expected 00000803"),
        (FILE[:-1], "has 23 values, its head says 24"),
        (FILE + b"x", "has more values, its head says 24"),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "allowed: 1073741824"),
    ],
)
def test_wrong_files_are_refused(tmp_path, data, says):
    for name, content in (("file", data), ("file.gz", gzip.compress(data))):
        with pytest.raises(InputError, match=says):
            idx.read_idx(written(tmp_path, content, name), (None, 3, 4))


@pytest.mark.parametrize(
    "data",
    # Without the time, since the tests are named by what they are given.
    [b"no gzip", gzip.compress(FILE, mtime=0)[:-9], b"\x1f\x8b\x08" + b"x" * 30],
)
def test_broken_compression_is_refused(tmp_path, data):
    with pytest.raises(InputError, match=r"broken|no idx file"):
        idx.read_idx(written(tmp_path, data, "file.gz"), (None, 3, 4))
