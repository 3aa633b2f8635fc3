"""Arrays of .npy files: those that NumPy wrote, and no more than is there."""

import io
import os

import numpy as np
import pytest

from dim_tf.data import npy


def npy_bytes(array, **settings):
    file = io.BytesIO()
    np.save(file, array, **settings)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.array(5),
        np.zeros((0, 16), np.uint8),
        np.array([1.5], np.float32),
    ],
    ids=["2d", "scalar", "empty", "float"],
)
def test_what_numpy_writes(array):
    loaded = npy.read_array(npy_bytes(array))
    np.testing.assert_array_equal(loaded, array)
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        npy_bytes(np.arange(6))[:-1],
        npy_bytes(np.arange(6)) + b"x",
        npy_bytes(np.array([{}], object), allow_pickle=True),
        b"\x93NUMPY\x01\x00\x10\x00" + b"{" * 16,
        b"\x93NUMPY\x01\x00\xff\xff" + b"[" * 65535,
        b"\x93NUMPY\x03\x00\x10\x00\x00\x00" + b" " * 16,
    ],
)
def test_anything_else_is_one_error(content):
    with pytest.raises(ValueError, match=r"\.npy|header"):
        npy.read_array(content)


def test_files_are_bounded_and_regular(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert npy.read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match="more than 4 bytes"):
        npy.read_bytes(tmp_path / "a", 4)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        npy.read_bytes(tmp_path / "pipe", 5)
