"""Reads .npy files, as NumPy writes them, from bytes: no larger than these, without pickles.

`np.load` allocates what a header claims before it looks at what is there.
"""

import io
import math
from pathlib import Path

import numpy as np

from dim_tf.system.files import open_for_reading

MOST_HEADER = 10_000  # bytes; NumPy's own bound


def octets(path: Path, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: of the file.
        most: how many bytes it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or no regular file.
    """
    with open_for_reading(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def array(content: bytes) -> np.ndarray:
    """The array that a .npy file of version 1.0 holds.

    The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

    Args:
        content: of the file.

    Returns:
        The array, not to be written to.

    Raises:
        ValueError: it is not such a file, or its values are not as many as its header says.
    """
    file = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of .npy")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(
            file, max_header_size=MOST_HEADER
        )
    except Exception as error:  # of a literal's parser, which raises what it likes
        raise ValueError(f"no header of .npy ({type(error).__name__})") from error
    begin = file.tell()
    if dtype.hasobject or by_columns or len(content) - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("its values are not those that its header tells of")
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype, offset=begin).reshape(shape)
