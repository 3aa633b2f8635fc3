"""A subset of patches such that no patch is far from it: k-center greedy."""

from typing import NamedTuple

import numpy as np

from dim_tf.collection.k_center import k_center_greedy

PROJECTED = 128  # size of the projected features whose distances are computed
_ROUNDING = 1e-3  # of a distance, relative to the largest length


class Coreset(NamedTuple):
    """The chosen patches.

    Attributes:
        rows: int64 [n], all different, in the order of the choice.
        radius: The largest distance of any patch from the nearest chosen one, after projection.
    """

    rows: np.ndarray
    radius: float


def choose_coreset(
    features: np.ndarray, size: int, *, projected: int = PROJECTED, seed: int = 0
) -> Coreset:
    """Chooses patches, always the one that is farthest from those chosen before.

    As in PatchCore (section 3.2 of https://arxiv.org/abs/2106.08265), distances are those of a
    random projection, which keeps them up to a small factor (Johnson & Lindenstrauss 1984).

    Time: O(N n projected). Memory: 4 `projected` + 8 bytes a patch.

    Args:
        features: float32 [N, D].
        size: Number of patches to choose. Fewer are chosen if all others equal a chosen one.
        projected: Size of a projected feature; D or more: no projection.
        seed: Seed of the projection and of the first patch.
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
    """The projected features, centred on 0, where products have the smallest rounding errors."""
    size = features.shape[1]
    if projected >= size:
        return features - features.mean(axis=0, dtype=np.float64).astype(np.float32)
    directions = rng.standard_normal((size, projected)) / np.sqrt(projected)
    centered: np.ndarray = features @ directions.astype(np.float32)
    centered -= centered.mean(axis=0, dtype=np.float64).astype(np.float32)
    return centered
