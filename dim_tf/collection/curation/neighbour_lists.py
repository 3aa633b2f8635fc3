"""The nearest images of each image of a collection, in the form that the curation takes."""

from dataclasses import dataclass

import numpy as np

from dim_tf.system.errors import InputError

_BLOCK = 2**16  # rows at a time


@dataclass(frozen=True)
class NeighbourLists:
    """The k nearest images of each of N images, without the image itself; 12 k bytes per image.

    Attributes:
        similarities: float32 [N, k], cosines, the largest first.
        rows: int64 [N, k]; -1 if an index returned fewer than k.

    Raises:
        InputError: The arrays do not fit together.
    """

    similarities: np.ndarray
    rows: np.ndarray

    def __post_init__(self):
        if self.rows.ndim != 2 or self.rows.shape != self.similarities.shape:
            raise InputError(
                f"neighbours have similarities {self.similarities.shape} and rows "
                f"{self.rows.shape}; expected [N, k] of both"
            )
        count, k = self.rows.shape
        if not count or not k:
            raise InputError(f"neighbours have the shape {self.rows.shape}; expected one or more")
        if self.rows.min() < -1 or self.rows.max() >= count:
            raise InputError(f"neighbours name rows outside of the {count:,} images")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def k(self) -> int:
        """Number of neighbours per image."""
        return self.rows.shape[1]

    def pairs(self, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of neighbours at least this similar, each only once, the most similar first.

        Args:
            threshold: A cosine.

        Returns:
            int64 [P], the smaller row of each; int64 [P], the larger row; float32 [P],
            similarities.
        """
        firsts, seconds, similarities = [], [], []
        for start in range(0, len(self), _BLOCK):
            block = slice(start, start + _BLOCK)
            near = (self.similarities[block] >= threshold) & (self.rows[block] >= 0)
            row, column = np.nonzero(near)
            ends = row + start, self.rows[block][row, column].astype(np.int64)
            firsts.append(np.minimum(*ends))
            seconds.append(np.maximum(*ends))
            similarities.append(self.similarities[block][row, column])
        first, second = np.concatenate(firsts), np.concatenate(seconds)
        similarity = np.concatenate(similarities)
        apart = first != second
        first, second, similarity = first[apart], second[apart], similarity[apart]
        _, once = np.unique(first * len(self) + second, return_index=True)
        order = once[np.argsort(-similarity[once], kind="stable")]
        return first[order], second[order], similarity[order]

    def mean_distances(self, k: int, groups: np.ndarray | None = None) -> np.ndarray:
        """The mean cosine distance of each image from its k nearest images that are not its copies.

        Args:
            k: Number of neighbours; if fewer are left, all of those.
            groups: int64 [N], the group of copies of each image, -1 for none; None: no copies.

        Returns:
            float64 [N]; 0 if all neighbours are copies.
        """
        means = np.zeros(len(self))
        for start in range(0, len(self), _BLOCK):
            block = slice(start, start + _BLOCK)
            rows = self.rows[block]
            counted = rows >= 0
            if groups is not None:
                own = groups[block][:, np.newaxis]
                counted &= (own < 0) | (groups[rows] != own)
            counted &= np.cumsum(counted, axis=1) <= k
            distances = np.where(counted, 1 - self.similarities[block].astype(np.float64), 0)
            means[block] = distances.sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        return means
