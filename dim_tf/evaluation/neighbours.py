"""The nearest of many features, by cosine similarity and by L1 distance, in blocks."""

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

QUERIES = 1024  # compared at once with
CANDIDATES = 16384  # this many: wide enough that selecting costs little beside the product
CHUNK_BYTES = 2**26  # of the candidates of which a function of each number is computed
SPARE = 12  # candidates beyond k that are ordered exactly
ROUNDING = 2e-6  # an estimate of the float32 error of the difference of two similarities
SMALLEST_LENGTH = 1e-6  # shorter features are treated as if they had this length


def cosine_neighbours(
    queries: np.ndarray,
    candidates: np.ndarray,
    k: int,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates most similar to each query; of equal ones the earlier come first.

    The result is that of `plain_cosine_neighbours`, unless more than `SPARE` candidates are equal
    up to rounding: then any of these may be returned. Neither array is copied as a whole.

    Matrix products choose k + `SPARE` candidates. Their rounding depends on a candidate's place in
    the block (for instance in OpenBLAS's kernels for AVX2), so equal candidates may differ in the
    last bits. Similarities that are within `ROUNDING` are therefore computed again, in float64.

    Args:
        queries: float32 [N, F].
        candidates: float32 [M, F].
        k: At most M.
        groups: Groups of the queries, int [N], and of the candidates, int [M]; candidates in the
            query's own group are left out. None: none is left out.

    Returns:
        Similarities in [-1, 1], float32, and indices of the candidates, int32, both [N, k], most
        similar first. If fewer than k are left, the last similarities are -inf.
    """
    lengths = _lengths(candidates)
    similarities = np.empty((len(queries), k), np.float32)
    indices = np.empty((len(queries), k), np.int32)
    for chunk in _slices(len(queries), QUERIES):
        own = (groups[0][chunk], groups[1]) if groups else None
        best, numbers = _shortlist(
            queries[chunk], candidates, lengths, min(k + SPARE, len(candidates)), own
        )
        _order_near_ties(queries[chunk], candidates, best, numbers, k)
        similarities[chunk], indices[chunk] = best[:, :k], numbers[:, :k]
    return similarities, indices


def plain_cosine_neighbours(
    queries: np.ndarray,
    candidates: np.ndarray,
    k: int,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The result of `cosine_neighbours`, computed query by query and in float64."""
    units = _units(candidates.astype(np.float64))
    similarities, indices = [], []
    for row, query in enumerate(_units(queries.astype(np.float64))):
        cosines = (units * query).sum(axis=1)
        if groups:
            cosines[groups[1] == groups[0][row]] = -np.inf
        nearest = np.argsort(-cosines, kind="stable")[:k]
        similarities.append(cosines[nearest])
        indices.append(nearest)
    return np.array(similarities, np.float32), np.array(indices, np.int32)


def l1_neighbours(queries: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
    """The k candidates nearest to each of a few queries by L1 distance; of equals the earlier.

    Args:
        queries: float32 [N, F].
        candidates: float32 [M, F].
        k: At most M.

    Returns:
        Indices of the candidates, [N, k], the nearest first.
    """
    distances = np.empty((len(queries), len(candidates)), np.float32)
    for block in _chunks(candidates):
        for q, query in enumerate(queries):
            distances[q, block] = np.abs(candidates[block] - query).sum(axis=1)
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def _shortlist(queries, candidates, lengths, count, groups) -> tuple[np.ndarray, np.ndarray]:
    """The `count` best similarities, by matrix products, and the candidates' indices."""
    units = _units(queries)
    best = np.full((len(queries), count), -np.inf, np.float32)
    numbers = np.zeros((len(queries), count), np.int32)
    with _full_float32():
        for block in _slices(len(candidates), CANDIDATES):
            cosines = _products(units, candidates[block]) / lengths[block]
            if groups:
                is_own = groups[0][:, np.newaxis] == groups[1][block]
                cosines = tf.where(is_own, -np.inf, cosines)
            nearest = tf.math.top_k(cosines, min(count, cosines.shape[1]))
            # Earlier candidates first: among equals, top_k takes the first.
            joined = tf.concat([best, nearest.values], axis=1)
            joined_numbers = tf.concat([numbers, nearest.indices + block.start], axis=1)
            merged = tf.math.top_k(joined, count)
            best = merged.values.numpy()
            numbers = tf.gather(joined_numbers, merged.indices, batch_dims=1).numpy()
    return best, numbers


def _products(units, block) -> tf.Tensor:
    if tf.config.list_logical_devices("GPU"):
        return tf.matmul(units, block, transpose_b=True)
    # Without oneDNN, TensorFlow's product takes 2.7 times as long (docs/PERFORMANCE.md).
    return tf.constant(units @ block.T)


def _order_near_ties(queries, candidates, best, numbers, k) -> None:
    """Orders similarities that rounding may have exchanged, in place."""
    with np.errstate(invalid="ignore"):  # NaN between those that are left out
        gaps = best[:, :-1] - best[:, 1:]
    for row in np.flatnonzero((gaps[:, :k] < ROUNDING).any(axis=1)):
        units = _units(candidates[numbers[row]].astype(np.float64))
        query = _units(queries[row : row + 1].astype(np.float64))
        cosines = np.where(np.isneginf(best[row]), -np.inf, (units * query).sum(axis=1))
        order = np.lexsort((numbers[row], -cosines))
        best[row], numbers[row] = cosines[order], numbers[row][order]


@contextlib.contextmanager
def _full_float32() -> Iterator[None]:
    """Makes products on GPUs use all bits of float32, where TensorFlow would use TF32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _slices(count: int, size: int) -> Iterator[slice]:
    """Slices of `size` numbers, and the rest."""
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _chunks(features) -> Iterator[slice]:
    return _slices(len(features), max(CHUNK_BYTES // (4 * features.shape[1]), 1))


def _lengths(features) -> np.ndarray:
    lengths = np.empty(len(features), features.dtype)
    for block in _chunks(features):
        lengths[block] = np.linalg.norm(features[block], axis=1)
    return np.maximum(lengths, SMALLEST_LENGTH)


def _units(features) -> np.ndarray:
    return features / _lengths(features)[:, np.newaxis]
