"""A subset of patches that leaves none of them far away: k-center greedy."""

from typing import NamedTuple

import numpy as np

from dim_tf.collection.k_center import k_center_greedy

PROJECTED = 128  # numbers of a feature that distances are computed of
_ROUNDING = 1e-3  # of a distance, relative to the largest length


class Coreset(NamedTuple):
    """The chosen patches.

    Attributes:
        rows: int64 [n], all different, in the order of the choice.
        radius: The largest distance of any patch to the nearest chosen one, as projected.
    """

    rows: np.ndarray
    radius: float


def choose_coreset(
    features: np.ndarray, size: int, *, projected: int = PROJECTED, seed: int = 0
) -> Coreset:
    """Chooses patches, always the one that is farthest from those before it.

    As in PatchCore (section 3.2 of https://arxiv.org/abs/2106.08265), distances are those of a
    random projection, which keeps them up to a small factor (Johnson & Lindenstrauss 1984).

    Time: O(N n projected). Memory: 4 `projected` + 8 bytes a patch.

    Args:
        features: float32 [N, D].
        size: Patches to choose. Fewer are chosen where all others equal a chosen one.
        projected: Numbers of a projected feature; D or more: no projection.
        seed: Draws the projection and the first patch.
    """
    rng = np.random.default_rng(seed)
    points = _project(features, projected, rng)
    first = int(rng.integers(len(points)))
    centers = k_center_greedy(points, min(size, len(points)), first)
    length = float(np.sqrt(np.einsum("nd,nd->n", points, points).max()))
    is_new = centers.distances > _ROUNDING * length
    if is_new.all():
        return Coreset(centers.rows, centers.radius)
    return Coreset(centers.rows[is_new], 0.0)  # all others equal a chosen one


def _project(features, projected, rng) -> np.ndarray:
    """The projected features around 0, where products round least."""
    size = features.shape[1]
    if projected >= size:
        return features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    directions = rng.standard_normal((size, projected)) / np.sqrt(projected)
    centered: np.ndarray = features @ directions.astype(np.float32)
    centered -= centered.mean(axis=0, dtype=np.float64).astype(np.float32)
    return centered
