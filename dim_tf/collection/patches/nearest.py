"""Nearest patches by Euclidean distance: the only place that searches neighbours of patches."""

import numpy as np

BLOCK_NUMBERS = 2**24  # products that are in memory at once
SPARE = 4  # candidates beyond the k nearest whose distances are computed exactly


def nearest(queries: np.ndarray, bank: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k patches of a bank that are nearest to each query.

    Matrix products choose k + `SPARE` candidates, whose distances are then computed from
    differences, because the square of a small distance between long features is lost in the
    rounding of |q|² - 2 q·b + |b|².

    Memory: a float32 copy of both arrays and a few times `BLOCK_NUMBERS` numbers.

    Args:
        queries: Floats [Q, D].
        bank: Floats [M, D].
        k: Number of neighbours of a query, at most M.

    Returns:
        Distances, float32 [Q, k], the nearest first, and rows of the bank, int64 [Q, k].

    Raises:
        ValueError: k exceeds M.
    """
    if not 1 <= k <= len(bank):
        raise ValueError(f"{k} neighbours of a bank of {len(bank)} patches")
    center = bank.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = bank.astype(np.float32) - center
    half_squares = np.einsum("md,md->m", centered, centered) / 2
    count = min(k + SPARE, len(bank))
    distances = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    step = max(BLOCK_NUMBERS // max(len(bank), count * bank.shape[1]), 1)
    for first in range(0, len(queries), step):
        block = slice(first, first + step)
        query = queries[block].astype(np.float32) - center
        halves = half_squares - query @ centered.T
        candidates = np.argpartition(halves, count - 1, axis=1)[:, :count]
        candidates.sort(axis=1)  # of equals the earlier
        differences = query[:, np.newaxis] - centered[candidates]
        exact = np.sqrt(np.einsum("qkd,qkd->qk", differences, differences))
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        distances[block] = np.take_along_axis(exact, order, axis=1)
        rows[block] = np.take_along_axis(candidates, order, axis=1)
    return distances, rows
