"""Disjoint sets of images, joined by pairs."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


class Partition:
    """Disjoint sets of N images; initially each image is a set.

    Args:
        count: N.

    Attributes:
        labels: int64 [N], the number of each image's set.
    """

    def __init__(self, count: int):
        self.labels = np.arange(count, dtype=np.int64)

    def copy(self) -> "Partition":
        """The same sets, which can be joined independently of these."""
        other = Partition(0)
        other.labels = self.labels.copy()
        return other

    def are_joined(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two images are in the same set, bool [M].

        Args:
            first: int [M].
            second: int [M].
        """
        return self.labels[first] == self.labels[second]

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Joins the sets of the images of each pair.

        Args:
            first: int [M].
            second: int [M].
        """
        if not len(first):
            return
        count = int(self.labels.max()) + 1
        ends = self.labels[first], self.labels[second]
        graph = coo_matrix((np.ones(len(first), np.int8), ends), shape=(count, count))
        _, merged = connected_components(graph, directed=False)
        self.labels = merged.astype(np.int64)[self.labels]
