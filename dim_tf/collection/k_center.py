"""k-center greedy: each point is the farthest from those chosen before it."""

from typing import NamedTuple

import numpy as np


class Centers(NamedTuple):
    """The chosen points.

    Attributes:
        rows: int64 [n], all different, in the order of the choice.
        distances: float32 [n], distance of each from the nearest before it; infinite for the first.
        radius: The largest distance of any point from the nearest chosen one.
    """

    rows: np.ndarray
    distances: np.ndarray
    radius: float


def k_center_greedy(points: np.ndarray, size: int, first: int) -> Centers:
    """Chooses points; the radius is at most twice that of the best choice.

    Source: Gonzalez 1985, https://doi.org/10.1016/0304-3975(85)90224-5.

    Time: O(N n D). Memory: 8 bytes a point.

    Args:
        points: float32 [N, D]; products have the smallest rounding errors if centred on 0.
        size: n, at most N.
        first: Row of the first point.
    """
    squares = np.einsum("nd,nd->n", points, points)
    nearest = np.full(len(points), np.inf, np.float32)  # squared distance to those chosen
    rows = np.empty(size, np.int64)
    gaps = np.empty(size, np.float32)
    row = first
    for number in range(size):
        rows[number], gaps[number] = row, nearest[row]
        np.minimum(nearest, squares - 2 * (points @ points[row]) + squares[row], out=nearest)
        nearest[row] = -np.inf  # never again, even if all other points equal a chosen one
        row = int(nearest.argmax())
    # Rounding makes squares of small distances negative.
    return Centers(rows, np.sqrt(np.maximum(gaps, 0)), float(np.sqrt(max(nearest[row], 0))))
