"""Where a detail is, and in which image: local features compared with a query's patches."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from dim_tf.system.errors import InputError

BLOCK_BYTES = 2**24  # of the float32 features that are compared at once
_SMALLEST_LENGTH = 1e-6  # a shorter feature has the similarity 0 to everything


class PatchScores(NamedTuple):
    """How well each image matches a detail.

    Attributes:
        similarities: float32 [N], in [-1, 1].
        locations: int64 [N], index in the local map row by row: where the detail is most likely.
    """

    similarities: np.ndarray
    locations: np.ndarray


class LocalFeatures(Protocol):
    """Floats [N, L, D] with a shape and an array's indexing, such as `FlatMaps` in files."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def score_images(local_features: LocalFeatures, query: np.ndarray) -> PatchScores:
    """Looks for a detail in every image.

    Each patch of the query takes its cosine similarity to the most similar location of the image;
    the image's similarity is the mean of these (late interaction, Khattab & Zaharia 2020,
    https://arxiv.org/abs/2004.12832). For one patch it is the largest value of the image's heat
    map.

    Memory: 12 bytes per image, and some blocks of `BLOCK_BYTES`.

    Args:
        local_features: Floats [N, L, D], with L locations of the local map row by row; may be
            memory-mapped.
        query: Floats [P, D], the features of the detail's patches.

    Raises:
        InputError: The shapes do not fit, a number is not finite, or the query is zero.
    """
    units = _query_units(local_features, query)
    similarities = np.empty(len(local_features), np.float32)
    locations = np.empty(len(local_features), np.int64)
    for images, cosines in _cosines(local_features, np.arange(len(local_features)), units):
        similarities[images] = cosines.max(axis=1).mean(axis=1)
        locations[images] = cosines.max(axis=2).argmax(axis=1)
    return PatchScores(similarities, locations)


def heat_maps(local_features: LocalFeatures, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Each location's similarity to the most similar patch of the query.

    Args:
        local_features: As for `score_images`.
        rows: int64 [R], numbers of images.
        query: As for `score_images`.

    Returns:
        float32 [R, L], in [-1, 1].

    Raises:
        InputError: As for `score_images`.
    """
    units = _query_units(local_features, query)
    maps = np.empty((len(rows), local_features.shape[1]), np.float32)
    for images, cosines in _cosines(local_features, np.asarray(rows), units):
        maps[images] = cosines.max(axis=2)
    return maps


def features_in_box(
    local_map: np.ndarray,
    box: tuple[float, float, float, float],
    image_shape: tuple[float, float],
) -> np.ndarray:
    """The features of a detail's patches: the locations whose centers are in a box of the image.

    If the box is too small to contain a center, the location that contains the center of the box.

    Args:
        local_map: Floats [H, W, D], the map of the query image.
        box: Top, left, height and width in pixels.
        image_shape: Height and width of what the map covers, in pixels.

    Returns:
        Floats [P, D], row by row.

    Raises:
        InputError: The box is empty, or not in the image.
    """
    chosen = []
    for start, length, cells, pixels in zip(
        box[:2], box[2:], local_map.shape[:2], image_shape, strict=True
    ):
        if not 0 <= start < start + length <= pixels:
            raise InputError(
                f"the detail {','.join(map(str, box))} (top, left, height, width) is not in the "
                f"image of {image_shape[0]} x {image_shape[1]} pixels"
            )
        centers = (np.arange(cells) + 0.5) * pixels / cells
        inside = np.flatnonzero((start <= centers) & (centers < start + length))
        nearest = int((start + length / 2) * cells / pixels)
        chosen.append(inside if len(inside) else np.array([nearest]))
    return local_map[np.ix_(*chosen)].reshape(-1, local_map.shape[2])


def without_zeros(patches: np.ndarray) -> np.ndarray:
    """The patches that have a direction; a feature of zeros is similar to nothing.

    Args:
        patches: Floats [P, D].

    Returns:
        Floats [Q, D], at most P; all patches if all are zero, which a search refuses.
    """
    lengths = np.linalg.norm(patches.astype(np.float64), axis=1)
    kept = patches[~(lengths < _SMALLEST_LENGTH)]
    return kept if len(kept) else patches


def _query_units(local_features, query) -> np.ndarray:
    if len(local_features.shape) != 3 or 0 in local_features.shape:
        raise InputError(
            f"local features of shape {list(local_features.shape)}; expected [N, L, D], of at "
            "least one image"
        )
    query = np.asarray(query, np.float32)
    if query.ndim != 2 or not len(query) or query.shape[1] != local_features.shape[2]:
        raise InputError(
            f"a query of shape {list(query.shape)}; expected [P, {local_features.shape[2]}], as "
            "the local features"
        )
    lengths = np.linalg.norm(query.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths < _SMALLEST_LENGTH).any():
        raise InputError("a patch of the query is zero or not finite; choose another detail")
    return (query / lengths).astype(np.float32)


def _cosines(local_features, rows, units) -> Iterator[tuple[slice, np.ndarray]]:
    """The cosines of some rows: slices of them, and float32 [n, L, P]."""
    _, num_locations, size = local_features.shape
    step = max(BLOCK_BYTES // (4 * num_locations * (size + len(units))), 1)
    for first in range(0, len(rows), step):
        images = slice(first, min(first + step, len(rows)))
        features = np.asarray(local_features[rows[images]], np.float32)
        lengths = np.sqrt(np.einsum("nld,nld->nl", features, features))
        faulty = np.flatnonzero(~np.isfinite(lengths).all(axis=1))
        if len(faulty):
            raise InputError(
                f"the local features of image {rows[first + int(faulty[0])]} are not finite; leave "
                "it out, or embed the images again"
            )
        cosines = features.reshape(-1, size) @ units.T
        cosines = cosines.reshape(-1, num_locations, len(units))
        cosines /= np.maximum(lengths, _SMALLEST_LENGTH)[:, :, np.newaxis]
        yield images, cosines.clip(-1, 1)
