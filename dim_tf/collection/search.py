"""Search for images: queries against a collection, by whole images or by a detail."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dim_tf.collection.index import Index
from dim_tf.collection.patches import patch_search
from dim_tf.system.csv_text import csv_text
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import translate_write_errors

RESULTS_FILE = "results.csv"
_COLUMNS = ("query", "rank", "id", "similarity")
_LOCATION_COLUMNS = ("location_row", "location_column")


class Location(NamedTuple):
    """A location of the local map; row 0, column 0 is the top left."""

    row: int
    column: int


@dataclass(frozen=True)
class Match:
    """An image that is similar to a query.

    Attributes:
        row: Row of the collection.
        id: Id of the image.
        similarity: Cosine, in [-1, 1].
        location: Where the detail is most likely; only in a search by patch.
        heat_map: float32 [H, W], the similarity of each location; only in a search by patch.
    """

    row: int
    id: str
    similarity: float
    location: Location | None = None
    heat_map: np.ndarray | None = None


@dataclass(frozen=True)
class QueryImage:
    """What is searched for.

    Attributes:
        name: The name, such as a file's path.
        image: The image for the page, uint8 [H, W, 3]; None: it is not shown.
    """

    name: str
    image: np.ndarray | None = None


@dataclass(frozen=True)
class QueryMatches:
    """A query and the images most similar to it, the most similar first."""

    query: QueryImage
    matches: tuple[Match, ...]


def search_images(
    index: Index, queries: Sequence[QueryImage], features: np.ndarray, k: int
) -> list[QueryMatches]:
    """The k images most similar to each query, or all if there are fewer.

    The search is exact if the index keeps float32 rows.

    Args:
        index: Index of the collection.
        queries: Q query images.
        features: Their features, floats [Q, D].
        k: At least 1.

    Raises:
        InputError: There are no queries, or `Index.search` refuses their features.
    """
    _check(queries, features)
    similarities, rows = index.search(features, min(k, len(index)), exact=index.has_float_rows)
    return [
        QueryMatches(
            query,
            tuple(
                Match(int(row), index.ids[row], float(similarity))
                for row, similarity in zip(rows[q], similarities[q], strict=True)
            ),
        )
        for q, query in enumerate(queries)
    ]


def search_patches(
    local_features: patch_search.LocalFeatures,
    map_shape: tuple[int, int],
    ids: Sequence[str],
    queries: Sequence[QueryImage],
    patches: Sequence[np.ndarray],
    k: int,
) -> list[QueryMatches]:
    """The k images that most likely show the detail of each query, and where.

    All local features are compared with all patches.

    Args:
        local_features: Floats [N, L, D], with L = H·W locations row by row; may be memory-mapped.
        map_shape: H and W of the local map.
        ids: N texts.
        queries: Q images of details.
        patches: For each query floats [P, D], the features of the detail's patches.
        k: At least 1; if there are fewer images, all of them.

    Raises:
        InputError: The shapes do not fit, or `patch_search.score_images` refuses the features.
    """
    _check(queries, patches)
    height, width = map_shape
    if len(local_features.shape) != 3 or local_features.shape[:2] != (len(ids), height * width):
        raise InputError(
            f"local features of shape {list(local_features.shape)}; expected [{len(ids)}, "
            f"{height * width}, D], for {len(ids)} ids and a map of {height} x {width}"
        )
    if k < 1:
        raise InputError(f"k={k} images; expected at least 1")
    return [
        QueryMatches(query, _matches_of_patches(local_features, map_shape, ids, vectors, k))
        for query, vectors in zip(queries, patches, strict=True)
    ]


def _matches_of_patches(local_features, map_shape, ids, vectors, k) -> tuple[Match, ...]:
    scores = patch_search.score_images(local_features, vectors)
    rows = np.argsort(-scores.similarities, kind="stable")[:k]
    maps = patch_search.heat_maps(local_features, rows, vectors).reshape(-1, *map_shape)
    return tuple(
        Match(
            int(row),
            ids[row],
            float(scores.similarities[row]),
            Location(*divmod(int(scores.locations[row]), map_shape[1])),
            heat_map,
        )
        for row, heat_map in zip(rows, maps, strict=True)
    )


def _check(queries, features):
    if not queries:
        raise InputError("no query; give at least one image")
    if len(queries) != len(features):
        raise InputError(f"{len(features)} features of {len(queries)} queries; expected one each")


def write_results(folder: Path, results: Sequence[QueryMatches]) -> Path:
    """Writes results.csv: a line for each match, query by query, the most similar first.

    Its columns are query, rank (from 1), id and similarity; for a search by patch also location_row
    and location_column in the local map, from 0.

    Returns:
        The file's path.

    Raises:
        RunError: The file cannot be written.
    """
    by_patch = any(match.location for result in results for match in result.matches)
    lines = []
    for result in results:
        for rank, match in enumerate(result.matches, start=1):
            line = [result.query.name, rank, match.id, f"{match.similarity:.4f}"]
            lines.append(line + list(match.location or ("", "")) if by_patch else line)
    text = csv_text(_COLUMNS + _LOCATION_COLUMNS if by_patch else _COLUMNS, lines)
    path = folder / RESULTS_FILE
    with translate_write_errors(str(path), folder, "make room and search again"):
        atomic_write_text(path, text)
    return path
