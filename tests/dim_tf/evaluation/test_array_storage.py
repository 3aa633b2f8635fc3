"""Arrays in memory up to a limit, and in files beyond it."""

import gc
import os

import numpy as np
import pytest

from dim_tf.evaluation.array_storage import ArrayStorage
from dim_tf.system.errors import RunError


def write(storage, array):
    writer = storage.new(array.shape, array.dtype.type)
    for first in range(0, len(array), 3):
        writer.append(array[first : first + 3])
    return writer.finish()


def numbers(count=10, dtype=np.float32):
    return np.arange(count * 4).astype(dtype).reshape(count, 4)


def test_beyond_the_limit_an_array_is_in_a_file_that_nobody_sees(tmp_path):
    folder = tmp_path / "run"
    storage = ArrayStorage(170, folder)  # one array of 160 bytes
    first, second = write(storage, numbers()), write(storage, numbers())
    assert not isinstance(first, np.memmap)
    assert isinstance(second, np.memmap)
    assert not second.flags.writeable
    for array in (first, second):
        np.testing.assert_array_equal(array, numbers())
        assert array.dtype == np.float32
    assert list(folder.iterdir()) == []
    small = write(storage, numbers(2, np.uint8))  # there is space for it yet
    assert not isinstance(small, np.memmap)


def test_memory_is_free_again_when_an_array_ends(tmp_path):
    storage = ArrayStorage(160, tmp_path)
    view = write(storage, numbers())[2:5]
    assert isinstance(write(storage, numbers()), np.memmap)
    del view
    gc.collect()
    assert not isinstance(write(storage, numbers()), np.memmap)


def test_without_a_limit_all_is_in_memory():
    assert not isinstance(write(ArrayStorage(), numbers(10_000)), np.memmap)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk_is_an_error_of_one_line(tmp_path, monkeypatch):
    storage = ArrayStorage(0, tmp_path)
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: full)
        with pytest.raises(RunError, match=r"No space left on device.*larger --memory"):
            write(storage, numbers())


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="an array of the evaluation could not be written"):
        write(ArrayStorage(0, tmp_path / "file"), numbers())
