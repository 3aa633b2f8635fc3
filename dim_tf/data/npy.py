"""Reads .npy files that anyone may have written; `np.lib.format` parses their headers. No pickles.

The bounds are ours: `np.load` and `np.lib.format.read_array` allocate what a header claims before
they know how many bytes follow.
"""

import io
import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dim_tf.system.files import open_for_reading

MAX_HEADER_BYTES = 10_000  # NumPy's own bound


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: Path of the file.
        max_bytes: Largest size of the file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger, or not a regular file.
    """
    with open_for_reading(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a .npy file of version 1.0, in C order; the values follow in `file`.

    The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

    Raises:
        ValueError: It is not such a file, or it contains Python objects.
    """
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of .npy")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(
            file, max_header_size=MAX_HEADER_BYTES
        )
    except Exception as error:  # NumPy parses a Python literal, whose parser raises anything
        raise ValueError(f"no header of .npy ({type(error).__name__})") from error
    if dtype.hasobject or is_fortran:
        raise ValueError("its header is not that of numbers in C order")
    return shape, dtype


def read_array(content: bytes) -> np.ndarray:
    """The array of a .npy file of version 1.0.

    Args:
        content: Content of the file.

    Returns:
        The array, read-only.

    Raises:
        ValueError: It is not such a file, or has more or fewer values than its header says.
    """
    file = io.BytesIO(content)
    shape, dtype = read_header(file)
    offset = file.tell()
    if len(content) - offset != math.prod(shape) * dtype.itemsize:
        raise ValueError("it has more or fewer values than its header says")
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype, offset=offset).reshape(shape)


def to_bytes(values: np.ndarray) -> bytes:
    """An array as a .npy file."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values), allow_pickle=False)
    return file.getvalue()
