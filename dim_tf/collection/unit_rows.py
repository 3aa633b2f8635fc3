"""Features divided by their lengths, in blocks, and their products."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dim_tf.system.errors import InputError

BLOCK_BYTES = 2**23  # of the float64 numbers of a block


class UnitBlock(NamedTuple):
    """A block of consecutive rows.

    Attributes:
        rows: Numbers of the rows.
        units: float32 [n, D], of length 1, or zero.
        zero_rows: int64, the numbers of the rows that are zero.
    """

    rows: slice
    units: np.ndarray
    zero_rows: np.ndarray


def unit_blocks(
    features: np.ndarray, name: Callable[[int], str], block_rows: int = 0
) -> Iterator[UnitBlock]:
    """The rows of an array, divided by their lengths, block by block.

    Args:
        features: Floats [N, D]; may be memory-mapped.
        name: Returns the name of a row, given its number, for messages.
        block_rows: Rows per block; 0: as many as `BLOCK_BYTES` hold.

    Raises:
        InputError: A number is not finite as float32.
    """
    step = block_rows or max(BLOCK_BYTES // (8 * features.shape[1]), 1)
    for first in range(0, len(features), step):
        rows = slice(first, min(first + step, len(features)))
        values = as_float32(features[rows])
        faulty = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(faulty):
            raise InputError(
                f"the feature of {name(first + int(faulty[0]))} has a number that is not finite as "
                "float32; leave it out, or embed the image again"
            )
        yield UnitBlock(rows, unit_rows(values), first + np.flatnonzero(~values.any(axis=1)))


def as_float32(features: np.ndarray) -> np.ndarray:
    """Features as float32; numbers that are too large become infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(features).astype(np.float32)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths; rows of zeros stay zero.

    Args:
        features: float32 [N, D].

    Returns:
        float32 [N, D].
    """
    values = features.astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", values, values))
    return (values / np.where(lengths > 0, lengths, 1)[:, np.newaxis]).astype(np.float32)


def units_at(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows of an array, divided by their lengths, one block at a time.

    Args:
        features: Floats [N, D]; may be memory-mapped.
        rows: int64 [n], numbers of rows.

    Returns:
        float32 [n, D].
    """
    units = np.empty((len(rows), features.shape[1]), np.float32)
    step = max(BLOCK_BYTES // (8 * features.shape[1]), 1)
    for first in range(0, len(rows), step):
        block = slice(first, first + step)
        units[block] = unit_rows(as_float32(features[rows[block]]))
    return units


def products(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The product of each query with its own candidates.

    It is computed in float64, so that it does not depend on a candidate's position: equal
    candidates have equal products.

    Args:
        queries: float32 [Q, D].
        candidates: float32 [Q, K, D].

    Returns:
        float32 [Q, K].
    """
    return np.einsum(
        "qd,qkd->qk", queries.astype(np.float64), candidates.astype(np.float64)
    ).astype(np.float32)
