"""Reads idx files, the format of MNIST and its successors (LeCun, Cortes, Burges 1998).

A file has two zero bytes, the type (8: uint8), the number of dimensions, each dimension as a
big-endian 32-bit number, then the values. No more is read than the expected shape, the header and
`MAX_BYTES` allow, so that a compressed file cannot grow without bounds.
"""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from dim_tf.system.errors import InputError

MAX_BYTES = 2**30


def read_idx(path: Path, expected: tuple[int | None, ...]) -> np.ndarray:
    """An idx file of bytes.

    Args:
        path: The file; compressed with gzip if its name ends in .gz.
        expected: The shape that it must have; None: any number from 1 on.

    Returns:
        uint8, in the shape that the file states.

    Raises:
        InputError: It is not such a file, has another shape, is truncated, longer than its header
            says or too large; or it cannot be read.
    """
    dimensions = len(expected)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            shape = _read_shape(path, header, expected)
            size = math.prod(shape)
            values = file.read(size + 1)
    except InputError:
        raise
    except OSError as error:
        why = error.strerror or error  # gzip's own errors have no errno
        raise InputError(f"{path} is broken or cannot be read ({why}); get it anew") from error
    except Exception as error:  # gzip passes on errors of zlib and struct, and EOFError
        raise InputError(f"{path} is broken ({error}); get it anew") from error
    if len(values) != size:
        count = "more" if len(values) > size else len(values)
        raise InputError(f"{path} has {count} values, its head says {size}; get it anew")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_shape(path, header, expected):
    dimensions = len(expected)
    if header[:4] != bytes([0, 0, 8, dimensions]) or len(header) < 4 + 4 * dimensions:
        raise InputError(
            f"{path} is no idx file of bytes in {dimensions} dimensions: it begins with "
            f"{header[:4].hex() or 'nothing'}, expected 000008{dimensions:02x}"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    if size > MAX_BYTES:
        raise InputError(f"{path} says that it has {size} values; allowed: {MAX_BYTES}")
    if not size or any(e not in (None, s) for e, s in zip(expected, shape, strict=True)):
        actual, allowed = (
            "x".join("N" if length is None else str(length) for length in lengths)
            for lengths in (shape, expected)
        )
        raise InputError(
            f"{path} says that it has {actual} values; expected {allowed}; get it anew"
        )
    return shape
