"""A folder's images by index: mapped from the cache, or decoded when they are asked for."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from dim_tf.data.folder import decoding
from dim_tf.data.folder.file_bytes import DIGEST_BYTES
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.report import printable
from dim_tf.data.folder.thread_pool import cpu_pool
from dim_tf.data.image_faults import UndecodableError
from dim_tf.data.pixel_range import PixelRange
from dim_tf.system.errors import RunError


@dataclass(frozen=True)
class ImageFiles:
    """Image files as they were when they were inspected, and how to decode them.

    Attributes:
        folders: of the files.
        names: relative to them.
        digests: uint8 [N, D], of their bytes.
        size: pixels a side.
        pixel_range: of those of 16 bits.
        max_pixels: as for `decoding.decode_to_size`.
    """

    folders: ImageFolders
    names: list[str]
    digests: np.ndarray
    size: int
    pixel_range: PixelRange
    max_pixels: int

    def subset(self, start: int, stop: int) -> "ImageFiles":
        """The files from `start` on, before `stop`."""
        return replace(self, names=self.names[start:stop], digests=self.digests[start:stop])

    def decode(self, indices: np.ndarray) -> np.ndarray:
        """Decodes some files, several at a time.

        Args:
            indices: int [M].

        Returns:
            uint8 [M, size, size, 3].

        Raises:
            RunError: a file has changed since it was inspected.
        """
        with cpu_pool() as workers:
            return np.stack(list(workers.map(self._decode_one, indices)))

    def _decode_one(self, index):
        name = self.names[index]
        try:
            return decoding.decode_to_size(
                self.folders.path_of(name),
                self.size,
                pixel_range=self.pixel_range,
                expected_digest=self.digests[index].tobytes(),
                max_pixels=self.max_pixels,
            )
        except (UndecodableError, OSError) as error:
            why = error if isinstance(error, UndecodableError) else error.strerror
            raise RunError(
                f"{printable(name)} in {self.folders} has changed while it was in use ({why}); run "
                "again, and the files that changed are looked at again"
            ) from error

    def cache_keys(self, bits: np.ndarray, image_sizes: np.ndarray) -> np.ndarray:
        """Hashes of what the pixels depend on: a file's bytes and, of some, how it is decoded.

        Args:
            bits: [N], per channel.
            image_sizes: int [N, 2], width and height.

        Returns:
            uint8 [N, 16].
        """
        keys = self.digests.copy()
        low, high = self.pixel_range.low, self.pixel_range.high
        settings = f" {low} {high} {self.max_pixels}".encode()
        # Images of more pixels are decoded at a reduced scale.
        is_reduced = image_sizes.astype(np.int64).prod(axis=1) > self.max_pixels
        for index in np.flatnonzero((bits == 16) | is_reduced):
            content = self.digests[index].tobytes() + settings
            key = hashlib.blake2b(content, digest_size=DIGEST_BYTES)
            keys[index] = np.frombuffer(key.digest(), np.uint8)
        return keys


@dataclass(frozen=True)
class FolderImages:
    """Images of which the first are in a cache; the others are decoded each time.

    Attributes:
        cached: uint8 [K, S, S, 3], of the first K files.
        files: all N, K ≤ N.
    """

    cached: np.ndarray
    files: ImageFiles

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

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        if isinstance(indices, slice):
            indices = np.arange(len(self))[indices]
        is_cached = indices < len(self.cached)
        if is_cached.all():
            return self.cached[indices]
        images = np.empty((len(indices), *self.shape[1:]), np.uint8)
        images[is_cached] = self.cached[indices[is_cached]]
        images[~is_cached] = self.files.decode(indices[~is_cached])
        return images

    def subset(self, start: int, stop: int) -> "FolderImages":
        """The images from `start` on, before `stop`."""
        return FolderImages(self.cached[start:stop], self.files.subset(start, stop))
