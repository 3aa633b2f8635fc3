"""A folder's images by index: mapped from the cache, or decoded on access."""

import hashlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.folder import decoding
from dim_tf.data.folder.file_bytes import DIGEST_BYTES
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.report import printable
from dim_tf.data.folder.thread_pool import cpu_pool
from dim_tf.data.image_faults import UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import PixelRange
from dim_tf.system.errors import RunError


@dataclass(frozen=True)
class ImageFiles:
    """Image files as they were when they were inspected, and how to decode them.

    Attributes:
        folders: Folders of the files.
        names: Names relative to the folders.
        digests: uint8 [N, D], digests of their bytes.
        frame: What an image becomes.
        pixel_range: Range of 16-bit images.
        max_pixels: As for `decoding.decode_to_size`.
        are_arrays: Whether they are files of `array_decoder`, whose values are kept.
    """

    folders: ImageFolders
    names: list[str]
    digests: np.ndarray
    frame: ImageFrame
    pixel_range: PixelRange
    max_pixels: int
    are_arrays: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The type of the pixels."""
        return np.dtype(np.float32 if self.are_arrays else np.uint8)

    def subset(self, start: int, stop: int) -> "ImageFiles":
        """The files from `start` on, before `stop`."""
        return replace(self, names=self.names[start:stop], digests=self.digests[start:stop])

    def decode(self, indices: np.ndarray) -> np.ndarray:
        """Decodes some files, several at a time.

        Args:
            indices: int [M].

        Returns:
            uint8 [M, H, W, C]; float32 for arrays.

        Raises:
            RunError: A file has changed since it was inspected.
        """
        with cpu_pool() as workers:
            return np.stack(list(workers.map(self._decode_one, indices)))

    def _decode_one(self, index):
        name = self.names[index]
        decode = decoding.decode_array_to_size
        if not self.are_arrays:
            decode = partial(decoding.decode_to_size, pixel_range=self.pixel_range)
        try:
            return decode(
                self.folders.path_of(name),
                self.frame,
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
        """Hashes of what the pixels depend on besides the frame's shape.

        That is the bytes of a file and, for some files, how it is decoded.

        Args:
            bits: [N], bits per channel.
            image_sizes: int [N, 2], width and height.

        Returns:
            uint8 [N, 16].
        """
        keys = self.digests.copy()
        low, high = self.pixel_range.low, self.pixel_range.high
        settings = f" {low} {high} {self.max_pixels} {self.frame.fit}".encode()
        # Images with more pixels are decoded at a reduced scale.
        is_reduced = image_sizes.astype(np.int64).prod(axis=1) > self.max_pixels
        for index in np.flatnonzero((bits == 16) | is_reduced | (self.frame.fit != "crop")):
            content = self.digests[index].tobytes() + settings
            key = hashlib.blake2b(content, digest_size=DIGEST_BYTES)
            keys[index] = np.frombuffer(key.digest(), np.uint8)
        return keys


@dataclass(frozen=True)
class FolderImages:
    """Images, the first of which are in a cache; the others are decoded each time.

    Attributes:
        cached: uint8 or float32 [K, H, W, C], images of the first K files.
        files: All N files, K ≤ N.
    """

    cached: np.ndarray
    files: ImageFiles

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        return self.files.names

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""
        return (len(self.names), *self.cached.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """The type of the pixels."""
        return self.cached.dtype

    def __len__(self):
        return len(self.names)

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        if isinstance(indices, slice):
            indices = np.arange(len(self))[indices]
        is_cached = indices < len(self.cached)
        if is_cached.all():
            return self.cached[indices]
        images = np.empty((len(indices), *self.shape[1:]), self.dtype)
        images[is_cached] = self.cached[indices[is_cached]]
        images[~is_cached] = self.files.decode(indices[~is_cached])
        return images

    def subset(self, start: int, stop: int) -> "FolderImages":
        """The images from `start` on, before `stop`."""
        return FolderImages(self.cached[start:stop], self.files.subset(start, stop))


@dataclass(frozen=True)
class ScaledImages:
    """Arrays of any values as images in [0, 1], scaled on access.

    Attributes:
        values: float32 [N, H, W, C].
        scaling: Scaling of their channels.
    """

    values: FolderImages
    scaling: ChannelScaling

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the images."""
        return self.values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, indices: slice | np.ndarray) -> np.ndarray:
        return self.scaling.to_unit(self.values[indices])

    def subset(self, start: int, stop: int) -> "ScaledImages":
        """The images from `start` on, before `stop`."""
        return ScaledImages(self.values.subset(start, stop), self.scaling)
