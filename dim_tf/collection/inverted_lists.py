"""`InvertedLists`: approximate neighbours by Faiss, from rows with one byte per number.

Reasons for inverted lists instead of a graph (HNSW), for 1,000,000 rows of 64 numbers on two cores:

- A graph is built by a search for each row. Inverted lists are built by k-means on a sample and one
  matrix product, rows x lists; both use the cores as well as an exact search does.
- A graph that several threads build differs from run to run
  (https://github.com/facebookresearch/faiss/issues/983); lists depend only on the seed.
- A graph needs the float32 rows, 256 bytes each, and as many bytes of links (M = 32). Lists with
  one byte per number take 64 bytes per row, and 8 for the row's number.
- The number of lists to search can be raised after they are built, until the recall suffices.

Faiss' own file format is not used, because its reader trusts the file
(https://github.com/facebookresearch/faiss/issues/5400). `arrays` and `from_arrays` use NumPy.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dim_tf.collection.faiss_import import import_faiss

LISTS_PER_ROOT = 4  # number of lists: this times the square root of the number of rows
MIN_ROWS_PER_LIST = 39  # in the sample that trains them; with fewer, Faiss warns
MAX_ROWS_PER_LIST = 64
ITERATIONS = 10  # of k-means
_ARRAYS = {"centroids": np.float32, "ranges": np.float32, "lists": np.int32, "codes": np.uint8}


class InvertedLists:
    """Unit rows in lists by the nearest of some centroids; each number of a row takes one byte.

    The byte counts steps of the row's difference from its centroid, over the range that each number
    has in the training sample (Faiss' IVF with the scalar quantizer SQ8). A search compares a query
    with the rows of `probes` lists. Memory: D + 8 bytes a row, and 8 more after `decode`.

    Source: Jégou, Douze & Schmid, "Product Quantization for Nearest Neighbor Search", 2011,
    https://hal.science/inria-00514462v2; Douze et al., "The Faiss library", 2024,
    https://arxiv.org/abs/2401.08281.

    Attributes:
        probes: Number of lists that a search reads, at most `num_lists`.
    """

    def __init__(self, ivf: Any, probes: int):
        self._ivf = ivf
        self.probes = probes

    @staticmethod
    def sample_size(num_rows: int) -> int:
        """How many rows train the lists of an index with that many rows."""
        return min(num_rows, MAX_ROWS_PER_LIST * _num_lists(num_rows))

    @classmethod
    def train(cls, sample: np.ndarray, num_rows: int, seed: int) -> "InvertedLists":
        """Finds the centroids by k-means on the sphere; the lists are empty.

        Args:
            sample: float32 [`sample_size(num_rows)`, D], unit rows.
            num_rows: Number of rows that the lists will hold.
            seed: Seed of the first centroids.
        """
        ivf = _empty(sample.shape[1], _num_lists(num_rows))
        ivf.cp.seed = seed
        ivf.cp.niter = ITERATIONS
        ivf.cp.min_points_per_centroid = MIN_ROWS_PER_LIST
        ivf.cp.max_points_per_centroid = MAX_ROWS_PER_LIST
        ivf.train(np.ascontiguousarray(sample, np.float32))
        return cls(ivf, 1)

    def __len__(self) -> int:
        return self._ivf.ntotal

    @property
    def num_lists(self) -> int:
        """How many lists there are."""
        return self._ivf.nlist

    @property
    def dimension(self) -> int:
        """D, the numbers of a row."""
        return self._ivf.d

    def add(self, units: np.ndarray) -> None:
        """Appends rows, float32 [N, D]."""
        self._ivf.add(np.ascontiguousarray(units, np.float32))

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k rows nearest to each query in the searched lists.

        A query whose lists hold fewer than k rows searches all lists.

        Args:
            queries: float32 [Q, D], unit rows.
            k: At most the number of rows.

        Returns:
            Similarities, float32, estimated from the bytes, and row numbers, int64, both [Q, k].
        """
        similarities, rows = self._search(queries, k, self.probes)
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):
            similarities[short], rows[short] = self._search(queries[short], k, self.num_lists)
        return similarities, rows

    def _search(self, queries, k, probes):
        # For a single call: the attribute of the index is shared by all threads.
        parameters = import_faiss().SearchParametersIVF(nprobe=probes)
        return self._ivf.search(np.ascontiguousarray(queries), k, params=parameters)

    def decode(self, rows: np.ndarray) -> np.ndarray:
        """Rows as reconstructed from their bytes.

        Args:
            rows: int64 [N].

        Returns:
            float32 [N, D], of length 1 up to rounding.
        """
        if self._ivf.direct_map.no():
            self._ivf.make_direct_map()  # 8 bytes a row
        return self._ivf.reconstruct_batch(np.ascontiguousarray(rows, np.int64))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that describe the lists.

        Returns:
            centroids, float32 [lists, D]; ranges of the bytes, float32 [2 D]; lists, int32 [N], the
            list of each row; codes, uint8 [N, D].
        """
        faiss = import_faiss()
        from faiss.contrib.inspect_tools import get_invlist

        lists = np.empty(len(self), np.int32)
        codes = np.empty((len(self), self.dimension), np.uint8)
        for number in range(self.num_lists):
            rows, codes_of_list = get_invlist(self._ivf.invlists, number)
            lists[rows], codes[rows] = number, codes_of_list
        return {
            "centroids": self._ivf.quantizer.reconstruct_n(0, self.num_lists),
            "ranges": faiss.vector_to_array(self._ivf.sq.trained),
            "lists": lists,
            "codes": codes,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], probes: int) -> "InvertedLists":
        """The lists that the result of `arrays` describes.

        Raises:
            ValueError: The arrays are not from `arrays`, or do not fit together.
        """
        if {name: array.dtype for name, array in arrays.items()} != _ARRAYS:
            raise ValueError(f"expected {', '.join(_ARRAYS)}")
        centroids, lists, codes = (np.asarray(arrays[n]) for n in ("centroids", "lists", "codes"))
        ranges = np.array(arrays["ranges"])
        num_lists, size = centroids.shape if centroids.ndim == 2 else (0, 0)
        if (
            min(num_lists, size, len(lists)) < 1
            or ranges.shape != (2 * size,)
            or lists.ndim != 1
            or codes.shape != (len(lists), size)
            or not 0 <= lists.min() <= lists.max() < num_lists
            or not 1 <= probes <= num_lists
            # Ranges of differences of unit rows; infinite ones would give NaN.
            or not (abs(centroids).max() < 1.1 and abs(ranges).max() < 5)
        ):
            raise ValueError("the arrays of the inverted lists do not fit together")
        faiss = import_faiss()
        ivf = _empty(size, num_lists)
        ivf.quantizer.add(np.ascontiguousarray(centroids))
        faiss.copy_array_to_vector(ranges, ivf.sq.trained)
        ivf.is_trained = True
        order = np.argsort(lists, kind="stable")
        starts = np.searchsorted(lists[order], np.arange(num_lists + 1))
        for number in range(num_lists):
            rows = order[starts[number] : starts[number + 1]].astype(np.int64)
            if len(rows):
                codes_of_list = np.ascontiguousarray(codes[rows])
                ivf.invlists.add_entries(
                    number, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes_of_list)
                )
        ivf.ntotal = len(lists)
        return cls(ivf, probes)


def _num_lists(num_rows: int) -> int:
    return max(1, min(round(LISTS_PER_ROOT * num_rows**0.5), num_rows // MIN_ROWS_PER_LIST))


def _empty(size: int, num_lists: int) -> Any:
    faiss = import_faiss()
    return faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size),
        size,
        num_lists,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
    )
