"""Keeps large arrays in memory up to a limit, and in files beyond it."""

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from dim_tf.system.io_errors import translate_write_errors

_ADVICE = "free some space there, or give a larger --memory"


class ArrayStorage:
    """Keeps arrays in memory while they fit into a limit together, and others in files.

    If the system allows it, a file has no name: it disappears with its array, and with the process,
    however that ends.
    """

    def __init__(self, limit: int | None = None, folder: Path = Path()):
        """Sets the limit.

        Args:
            limit: Bytes of arrays in memory; None: all arrays are in memory.
            folder: Folder for the files; created with the first file if it is missing.
        """
        self._limit = limit
        self._folder = folder
        self._in_memory = 0

    def new(self, shape: Sequence[int], dtype: DTypeLike) -> "ArrayWriter":
        """A new array to be written; in memory if it fits there beside those that still exist.

        Args:
            shape: Shape of the array.
            dtype: Type of its numbers.

        Raises:
            RunError: There is no space for a file.
        """
        if not self.has_space_for(shape, dtype):
            return _FileWriter(shape, dtype, self._folder)
        writer = _MemoryWriter(shape, dtype)
        size = writer.array.nbytes
        self._in_memory += size
        weakref.finalize(writer.array, self._release, size).atexit = False
        return writer

    def has_space_for(self, shape: Sequence[int], dtype: DTypeLike) -> bool:
        """Whether an array would be kept in memory; arguments as for `new`."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return self._limit is None or self._in_memory + size <= self._limit

    def _release(self, size):
        self._in_memory -= size


class ArrayWriter(Protocol):
    """An array that is written in parts, from its first row to its last."""

    def append(self, rows: np.ndarray) -> None:
        """Writes the next rows [n, ...].

        Raises:
            RunError: They could not be written.
        """

    def finish(self) -> np.ndarray:
        """The array, after its last row was written; an array in a file cannot be changed."""


class _MemoryWriter:
    def __init__(self, shape, dtype):
        self.array = np.empty(shape, dtype)
        self._count = 0

    def append(self, rows):
        self.array[self._count : self._count + len(rows)] = rows
        self._count += len(rows)

    def finish(self):
        return self.array


class _FileWriter:
    """Writes to a file and not through a memory map, so that a full disk is an error of a write."""

    def __init__(self, shape, dtype, folder):
        self._shape, self._dtype, self._folder = tuple(shape), np.dtype(dtype), folder
        with self._translated():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it stays open)

    def append(self, rows):
        with self._translated():
            self._file.write(np.ascontiguousarray(rows, self._dtype).data)

    def finish(self):
        with self._translated():
            self._file.flush()
        return np.memmap(self._file, self._dtype, "r", shape=self._shape)

    def _translated(self):
        return translate_write_errors("an array of the evaluation", self._folder, _ADVICE)
