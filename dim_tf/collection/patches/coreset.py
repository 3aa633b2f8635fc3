"""A subset of patches that leaves none of them far away: k-center greedy."""

from typing import NamedTuple

import numpy as np

PROJECTED = 128  # numbers of a feature that distances are computed of
_ROUNDING = 1e-6  # of a squared distance, relative to the largest squared length


class Coreset(NamedTuple):
    """The chosen patches.

    Attributes:
        rows: int64 [n], all different, in the order of the choice.
        radius: The largest distance of any patch to the nearest chosen one, as projected.
    """

    rows: np.ndarray
    radius: float


def k_center_greedy(
    features: np.ndarray, size: int, *, projected: int = PROJECTED, seed: int = 0
) -> Coreset:
    """Chooses patches, always the one that is farthest from those before it.

    The radius is at most twice that of the best choice (Gonzalez 1985,
    https://doi.org/10.1016/0304-3975(85)90224-5). As in PatchCore (section 3.2 of
    https://arxiv.org/abs/2106.08265), distances are those of a random projection, which keeps
    them up to a small factor (Johnson & Lindenstrauss 1984).

    Time: O(N n projected). Memory: 4 `projected` + 8 bytes a patch.

    Args:
        features: float32 [N, D].
        size: Patches to choose. Fewer are chosen where all others equal a chosen one.
        projected: Numbers of a projected feature; D or more: no projection.
        seed: Draws the projection and the first patch.
    """
    rng = np.random.default_rng(seed)
    centered = _project(features, projected, rng)
    squares = np.einsum("nd,nd->n", centered, centered)
    tolerance = _ROUNDING * float(squares.max())
    nearest = np.full(len(centered), np.inf, np.float32)  # squared distance to the nearest chosen
    rows = [int(rng.integers(len(centered)))]
    while True:
        row = rows[-1]
        np.minimum(nearest, squares - 2 * (centered @ centered[row]) + squares[row], out=nearest)
        nearest[row] = 0
        farthest = int(nearest.argmax())
        if len(rows) >= size or nearest[farthest] <= tolerance:
            break
        rows.append(farthest)
    return Coreset(np.array(rows, np.int64), float(np.sqrt(nearest[farthest])))


def _project(features, projected, rng) -> np.ndarray:
    """The projected features around 0, where products round least."""
    size = features.shape[1]
    if projected >= size:
        return features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    directions = rng.standard_normal((size, projected)) / np.sqrt(projected)
    centered: np.ndarray = features @ directions.astype(np.float32)
    centered -= centered.mean(axis=0, dtype=np.float64).astype(np.float32)
    return centered
