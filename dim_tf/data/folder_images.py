"""The images of a folder's files, by rows: of a cache, or decoded when they are asked for."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dim_tf.data import folder_report, image_files, threads
from dim_tf.data.image_faults import UndecodableError
from dim_tf.data.image_files import DIGEST_BYTES
from dim_tf.data.pixel_range import PixelRange
from dim_tf.system.errors import RunError


@dataclass(frozen=True)
class Files:
    """Image files as they were when they were looked at, and how to decode them.

    Attributes:
        folder: of the files.
        names: relative.
        digests: uint8 [N, D], of their bytes.
        size: pixels a side.
        pixel_range: of those of 16 bits.
        max_pixels: as `image_files.decode_to_size` has it.
    """

    folder: Path
    names: list[str]
    digests: np.ndarray
    size: int
    pixel_range: PixelRange
    max_pixels: int

    def part(self, first: int, last: int) -> "Files":
        """Those from number `first` on, before `last`."""
        return replace(self, names=self.names[first:last], digests=self.digests[first:last])

    def decoded(self, rows: np.ndarray) -> np.ndarray:
        """Decodes some files, several at a time.

        Args:
            rows: int [M], their numbers.

        Returns:
            uint8 [M, size, size, 3].

        Raises:
            RunError: a file is not what it was when it was looked at.
        """
        with threads.pool() as workers:
            return np.stack(list(workers.map(self._decoded, rows)))

    def _decoded(self, row):
        name = self.names[row]
        try:
            return image_files.decode_to_size(
                self.folder / name,
                self.size,
                pixel_range=self.pixel_range,
                digest=self.digests[row].tobytes(),
                max_pixels=self.max_pixels,
            )
        except (UndecodableError, OSError) as error:
            why = error if isinstance(error, UndecodableError) else error.strerror
            raise RunError(
                f"{folder_report.printable(name)} in {self.folder} has changed while it was in use "
                f"({why}); run again, and the files that changed are looked at again"
            ) from error

    def cache_keys(self, bits: np.ndarray, extents: np.ndarray) -> np.ndarray:
        """What the pixels depend on: a file's bytes and, of some files, how it is decoded.

        Args:
            bits: [N], of each image's pixels.
            extents: int [N, 2], width and height.

        Returns:
            uint8 [N, 16].
        """
        keys = self.digests.copy()
        how = f" {self.pixel_range.low} {self.pixel_range.high} {self.max_pixels}".encode()
        large = extents.astype(np.int64).prod(axis=1) > self.max_pixels  # at a reduced scale
        for row in np.flatnonzero((bits == 16) | large):
            key = hashlib.blake2b(self.digests[row].tobytes() + how, digest_size=DIGEST_BYTES)
            keys[row] = np.frombuffer(key.digest(), np.uint8)
        return keys


@dataclass(frozen=True)
class FolderImages:
    """Images of which the first are in a cache; the others are decoded each time.

    Attributes:
        cached: uint8 [K, S, S, 3], of the first K files.
        files: all N, K ≤ N.
    """

    cached: np.ndarray
    files: Files

    @property
    def names(self) -> list[str]:
        """Of the files."""
        return self.files.names

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, S, S, 3)."""
        return (len(self.names), *self.cached.shape[1:])

    def __len__(self):
        return len(self.names)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        inside = rows < len(self.cached)
        if inside.all():
            return self.cached[rows]
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        images[inside] = self.cached[rows[inside]]
        images[~inside] = self.files.decoded(rows[~inside])
        return images

    def part(self, first: int, last: int) -> "FolderImages":
        """Those from number `first` on, before `last`."""
        return FolderImages(self.cached[first:last], self.files.part(first, last))
