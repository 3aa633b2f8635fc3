"""`Index`: the nearest of many features by cosine similarity, exact or approximate."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dim_tf.collection import index_files
from dim_tf.collection.faiss_import import import_faiss
from dim_tf.collection.index_files import METRIC, IndexContents
from dim_tf.collection.inverted_lists import InvertedLists
from dim_tf.collection.unit_rows import products, unit_blocks, units_at
from dim_tf.system.errors import InputError

EXACT_BYTES = 2**31
EXACT_PRODUCTS = 2**42  # multiply-adds of all rows with all: 262,144 rows of 64 numbers
MIN_APPROXIMATE = 1000  # fewer rows are compared exactly
RECALL_ROWS = 256  # the sample on which the recall is measured
RECALL_K = 10
MIN_RECALL = 0.99  # as many lists are searched as this takes,
RECALL_TOLERANCE = 0.002  # or, if all lists give less, as many as come this near
TIE = 1e-6  # similarities this close are equal up to the rounding of float32
SPARE = 12  # candidates beyond k that are ordered exactly; one may be the row itself
_QUERIES = 4096  # compared at once
_PRODUCT_BYTES = 2**21  # of the float64 candidates multiplied at once, which fit a core's cache


class Neighbours(NamedTuple):
    """The neighbours of a block of rows.

    Attributes:
        rows: The rows [first, last) whose neighbours these are.
        similarities: float32 [last - first, k], most similar first.
        neighbours: int64 [last - first, k], row numbers; never the row itself.
    """

    rows: slice
    similarities: np.ndarray
    neighbours: np.ndarray


class Index:
    """Finds rows by the cosine similarity of their features; create it with `build` or `load`.

    >>> import numpy as np
    >>> features = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
    >>> index = Index.build(features, ["a.jpg", "b.jpg", "c.jpg"])
    >>> similarities, rows = index.search(np.array([[0, 1]], np.float32), k=2)
    >>> [f"{index.ids[row]} {s:.2f}" for s, row in zip(similarities[0], rows[0])]
    ['b.jpg 1.00', 'c.jpg 0.71']
    >>> next(index.neighbours(1)).neighbours.tolist()
    [[2], [2], [0]]

    Of equally similar rows, the one with the lower number comes first. A row of zeros has no
    direction: its similarity to everything is 0.

    There are three kinds, depending on the number of rows N and of numbers D:

    - exact, up to `exact_products` = N·N·D and `exact_bytes` = N·D·4. Every row is compared.
      Memory: 4 D bytes a row.
    - approximate with float32 rows, up to `exact_bytes`: `InvertedLists` propose candidates, whose
      similarities are then computed exactly. Memory: 5 D + 8 bytes a row.
    - approximate, above that: similarities are estimates, too. Memory: D + 8 bytes a row, and 8
      more for `neighbours`.

    The ids are stored separately. Results depend only on the features and the seed; with another
    number of threads, rounding may move rows between lists.

    Attributes:
        ids: Ids of the rows.
        origin: What the features were computed from, as given to `build`.
        seed: Seed of the approximation.
        recall: The fraction of the 10 nearest other rows that are found, for a sample of 256 rows;
            1.0 for an exact index. For queries unlike all rows it is lower: search exactly.
        zero_rows: int64, the numbers of the rows that are all zeros.
    """

    def __init__(self, contents: IndexContents):
        self.ids = contents.ids
        self.origin = contents.origin
        self.seed = contents.seed
        self.recall = contents.recall
        self.zero_rows = contents.zero_rows
        self._contents = contents
        self._units = contents.units
        self._lists = contents.lists

    @classmethod
    def build(
        cls,
        features: np.ndarray,
        ids: Sequence[str],
        *,
        metric: str = METRIC,
        exact_bytes: int = EXACT_BYTES,
        exact_products: int = EXACT_PRODUCTS,
        origin: str = "",
        seed: int = 0,
    ) -> "Index":
        """Builds an index of the rows of an array.

        Args:
            features: Floats [N, D]; may be memory-mapped, and is read in blocks.
            ids: N different texts, such as relative paths.
            metric: "cosine", the only one.
            exact_bytes: Float32 rows that take more bytes than this are not kept.
            exact_products: The search is approximate if comparing all rows with all takes more
                multiply-adds than this. For few queries give N·N·D: an exact search reads each row
                once.
            origin: What the features come from, such as a checksum; `load` compares it.
            seed: Seed of the approximation: training rows, centroids, and the sample for the
                recall.

        Raises:
            InputError: There are no rows, a number is not finite, an id occurs twice, or faiss-cpu
                is not installed.
        """
        import_faiss()
        if metric != METRIC:
            raise InputError(f"metric={metric!r} of an index; expected {METRIC!r}")
        _check_rows(features, ids)
        num_rows, size = features.shape
        fits = 4 * num_rows * size <= exact_bytes
        is_exact = (fits and num_rows**2 * size <= exact_products) or num_rows < MIN_APPROXIMATE
        units = np.empty((num_rows, size), np.float32) if fits or is_exact else None
        zero_rows = []
        for block in unit_blocks(features, lambda row: f"id {ids[row]!r}"):
            zero_rows.append(block.zero_rows)
            if units is not None:
                units[block.rows] = block.units
        lists = None if is_exact else _fill_lists(features, seed)
        contents = IndexContents(
            ids=list(ids),
            units=units,
            lists=lists,
            zero_rows=np.concatenate(zero_rows),
            recall=1.0,
            origin=origin,
            seed=seed,
        )
        index = cls(contents)
        if lists is None:
            return index
        return cls(replace(contents, recall=index._choose_probes(lists, features)))

    def _choose_probes(self, lists: InvertedLists, features: np.ndarray) -> float:
        """Sets how many lists are searched; returns the resulting recall."""
        rng = np.random.default_rng([self.seed, 1])
        sample = np.sort(rng.choice(len(self), RECALL_ROWS, replace=False))
        queries = units_at(features, sample)
        least = _least_similar(features, queries, sample)

        def recall(probes):
            lists.probes = probes
            _, rows = self._nearest(queries, RECALL_K, own=sample)
            nearest = units_at(features, rows.ravel())
            similarities = products(queries, nearest.reshape(*rows.shape, self.dimension))
            return float((similarities >= least[:, np.newaxis] - TIE).mean())

        recalls: dict[int, float] = {}
        probes = 1
        while recalls.setdefault(probes, recall(probes)) < MIN_RECALL and probes < lists.num_lists:
            probes = min(2 * probes, lists.num_lists)
        if recalls[probes] < MIN_RECALL:  # with all lists: one byte per number is not enough for it
            sufficient = recalls[probes] - RECALL_TOLERANCE
            probes = next(fewer for fewer, value in recalls.items() if value >= sufficient)
        lists.probes = probes
        return recalls[probes]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dimension(self) -> int:
        """D, the numbers of a feature."""
        return self._contents.dimension

    @property
    def has_float_rows(self) -> bool:
        """Whether `search` can be exact: the float32 rows are kept."""
        return self._units is not None

    @property
    def description(self) -> str:
        """The kind and size of the index, such as "exact, 5,000 rows of 64 numbers"."""
        rows = f"{len(self):,} rows of {self.dimension:,} numbers"
        if self._lists is None:
            return f"exact, {rows}"
        return (
            f"approximate, {rows}: {self._lists.probes:,} of {self._lists.num_lists:,} lists are "
            f"searched; recall of the {RECALL_K} nearest {self.recall:.3f}"
        )

    def search(
        self, queries: np.ndarray, k: int, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k rows that are most similar to each query.

        Args:
            queries: Floats [Q, D].
            k: At most N.
            exact: Whether to compare all rows even if the index is approximate.

        Returns:
            Similarities in [-1, 1], float32, and row numbers, int64, both [Q, k], most similar
            first.

        Raises:
            InputError: A query is zero, not finite or of another length, k is not in [1, N], or
                `exact` is set but the float32 rows are not kept.
        """
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise InputError(
                f"queries of shape {list(queries.shape)}; expected [Q, {self.dimension}], as the "
                "features of the index"
            )
        self._check_k(k, len(self), "rows of the index")
        if exact and self._units is None:
            raise InputError(
                f"an exact search needs the float32 rows, which exceed exact_bytes: {len(self):,} "
                f"rows of {self.dimension:,} numbers; build the index with a larger exact_bytes"
            )
        similarities = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        for block in unit_blocks(queries, lambda query: f"query {query}", _QUERIES):
            if len(block.zero_rows):
                raise InputError(
                    f"the feature of query {block.zero_rows[0]} is zero in all numbers, so that it "
                    "has no direction; leave it out"
                )
            similarities[block.rows], rows[block.rows] = self._nearest(block.units, k, exact=exact)
        return similarities, rows

    def neighbours(self, k: int) -> Iterator[Neighbours]:
        """The k nearest other rows of every row, block by block, in the order of the rows.

        Rows that equal another row are its neighbours, with similarity 1.

        Args:
            k: At most N - 1.

        Raises:
            InputError: k is not in [1, N - 1].
        """
        self._check_k(k, len(self) - 1, "other rows of the index")
        return self._neighbours(k)

    def _neighbours(self, k):
        for first in range(0, len(self), _QUERIES):
            rows = np.arange(first, min(first + _QUERIES, len(self)))
            units = self._contents.unit_rows(rows)
            yield Neighbours(slice(first, rows[-1] + 1), *self._nearest(units, k, own=rows))

    def _nearest(self, units, k, own=None, exact=False):
        """Similarities and rows of the k nearest, without those of `own`; one row per query."""
        count = min(k + SPARE, len(self))
        if self._lists is None or exact:
            faiss = import_faiss()
            _, rows = faiss.knn(units, self._units, count, metric=faiss.METRIC_INNER_PRODUCT)
        else:
            similarities, rows = self._lists.search(units, count)
        if self._units is not None:
            similarities = _similarities(units, self._units, rows)
        similarities = similarities.clip(-1, 1)
        if own is not None:
            similarities[rows == own[:, np.newaxis]] = -np.inf
        order = np.lexsort((rows, -similarities))[:, :k]
        return np.take_along_axis(similarities, order, 1), np.take_along_axis(rows, order, 1)

    def _check_k(self, k, most, rows):
        if not 1 <= k <= most:
            raise InputError(f"k={k} neighbours; expected 1 to {most:,}, the {rows}")

    def save(self, folder: Path | str) -> None:
        """Writes the index, whole or not at all: an earlier one stays until it is replaced.

        Args:
            folder: Created if needed; may hold an earlier index and nothing else.

        Raises:
            InputError: Another process writes there, or the folder cannot be written.
            RunError: A file cannot be written.
        """
        index_files.write(Path(folder), self._contents)

    @classmethod
    def load(cls, folder: Path | str, origin: str | None = None) -> "Index":
        """Reads an index that `save` wrote; the float32 rows are memory-mapped.

        Args:
            folder: As given to `save`.
            origin: What the features must come from; None: anything.

        Raises:
            InputError: There is no index, it is damaged or of another origin, or faiss-cpu is not
                installed.
        """
        import_faiss()
        contents = index_files.read(Path(folder))
        if origin is not None and contents.origin != origin:
            raise InputError(
                f"the index in {folder} is of other features; build it again, or give another "
                "folder"
            )
        return cls(contents)


def _similarities(queries, units, rows) -> np.ndarray:
    """Similarities without rounding that depends on a row's position: equal rows stay equal."""
    similarities = np.empty(rows.shape, np.float32)
    step = max(_PRODUCT_BYTES // (8 * units.shape[1] * rows.shape[1]), 1)
    for first in range(0, len(queries), step):
        block = slice(first, first + step)
        similarities[block] = products(queries[block], units[rows[block]])
    return similarities


def _fill_lists(features, seed) -> InvertedLists:
    size = InvertedLists.sample_size(len(features))
    rows = np.sort(np.random.default_rng(seed).choice(len(features), size, replace=False))
    lists = InvertedLists.train(units_at(features, rows), len(features), seed)
    for block in unit_blocks(features, str):
        lists.add(block.units)
    return lists


def _least_similar(features, queries, own) -> np.ndarray:
    """The similarity of each query's `RECALL_K`-th nearest other row, compared with all rows."""
    faiss = import_faiss()
    nearest = np.full((len(queries), RECALL_K), -np.inf, np.float32)
    for block in unit_blocks(features, str):
        count = min(RECALL_K + 1, len(block.units))
        similarities, rows = faiss.knn(
            queries, block.units, count, metric=faiss.METRIC_INNER_PRODUCT
        )
        similarities[rows + block.rows.start == own[:, np.newaxis]] = -np.inf
        nearest = np.sort(np.concatenate([nearest, similarities], axis=1))[:, -RECALL_K:]
    return nearest[:, 0]


def _check_rows(features, ids):
    shape, kind = getattr(features, "shape", None), getattr(features, "dtype", np.dtype(object))
    if shape is None or len(shape) != 2 or not np.issubdtype(kind, np.floating):
        actual = f"shape {list(shape)} and type {kind}" if shape is not None else "another type"
        raise InputError(f"features of {actual}; expected an array of floats [N, D]")
    if 0 in shape:
        raise InputError(
            f"features of shape {list(shape)}, which are none; embed at least one image"
        )
    if len(ids) != len(features):
        raise InputError(f"{len(ids):,} ids of {len(features):,} features; expected one each")
    if len(set(ids)) < len(ids):
        known: set[str] = set()
        twice = next(name for name in ids if name in known or known.add(name))  # type: ignore
        raise InputError(f"the id {twice!r} is there twice; expected a different one for each row")
