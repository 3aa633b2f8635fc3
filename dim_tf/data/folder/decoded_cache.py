"""Decoded images on a local disk: written once, then read by index in any order.

Its entries (`cache_entry`) are named by the hash of their content. If space is needed, those that
were not used for longest are removed; a damaged entry is created again.
"""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from dim_tf.data.folder.cache_entry import (
    DISK_FULL,
    PIXELS,
    RECORD,
    Decode,
    EntryWriter,
    entry_name,
    last_use,
    open_entry,
    read_entry,
    size_on_disk,
)
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.locks import locked_file

GIB = 2**30


@dataclass(frozen=True)
class DecodedCache:
    """All entries of a folder, with a limit on the space that they take.

    Attributes:
        folder: Folder of the entries.
        gib: Largest size of their pixels, in GiB.
    """

    folder: Path
    gib: float

    def open(
        self,
        digests: np.ndarray,
        image_shape: tuple[int, ...],
        decode: Decode,
        dtype: DTypeLike = np.uint8,
    ) -> np.ndarray:
        """The first of some images, as many as the limit allows.

        To make space for a new entry, those not used for longest are removed.

        Args:
            digests: uint8 [N, D], of what is decoded and how.
            image_shape: Shape of an image's pixels, (H, W, C).
            decode: Indices, int [M] -> pixels [M, H, W, C]; called for images that no entry has.
            dtype: Type of the pixels.

        Returns:
            [K, H, W, C] of that dtype, K ≤ N, mapped from the disk, read-only.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        dtype = np.dtype(dtype)
        image_bytes = math.prod(image_shape) * dtype.itemsize
        count = min(len(digests), int(self.gib * GIB) // image_bytes)
        shape = (count, *image_shape)
        if not count:
            return np.zeros(shape, dtype)
        digests = np.ascontiguousarray(digests[:count])
        entry = self.folder / entry_name(digests, image_shape, dtype)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(_lock_of(entry)):
                pixels = open_entry(entry, shape, dtype)
                if pixels is None:
                    entry.mkdir(exist_ok=True)
                    reusable = self._find_reusable(entry, digests, image_shape, dtype)  # mapped
                    self._make_room(entry, count * image_bytes)
                    EntryWriter(entry, digests, shape, dtype).write(_reusing(reusable, decode))
                    # Again, because other processes may have created entries at the same time.
                    self._make_room(entry, count * image_bytes)
                    pixels = open_entry(entry, shape, dtype)
                os.utime(entry / RECORD)
        except OSError as error:
            raise InputError(_error_message(error, self.folder, count * image_bytes)) from error
        if pixels is None:
            raise InputError(
                f"{entry / PIXELS} was written and does not read the same; its disk is failing, or "
                "another program writes to it: give another --cache_dir"
            )
        return pixels

    def _make_room(self, entry, size):
        """Removes other entries, those not used for longest first, until `size` bytes fit.

        Entries that another process is creating or opening are kept.
        """
        with _locked(self.folder / "lock"):
            others = [path for path in self.folder.iterdir() if path.is_dir() and path != entry]
            used = size + sum(map(size_on_disk, others))
            for path in sorted(others, key=last_use):
                if used <= self.gib * GIB:
                    return
                with contextlib.suppress(BlockingIOError), _locked(_lock_of(path), wait=False):
                    used -= size_on_disk(path)
                    shutil.rmtree(path, ignore_errors=True)
                    _lock_of(path).unlink()

    def _find_reusable(self, entry, digests, image_shape, dtype):
        """The pixels of the entry that shares most images, and each digest's index in it, or -1."""
        best_pixels, best_indices = None, np.full(len(digests), -1)
        for path in self.folder.iterdir():
            if path == entry or not (path / RECORD).exists():
                continue
            try:
                contents = read_entry(path, image_shape, dtype)
            except (OSError, ValueError) as error:
                say(f"data: {path} is damaged ({error}); nothing of it is used")
                continue
            if contents is None:
                continue
            stored, pixels = contents
            if stored.shape[1:] != digests.shape[1:]:
                continue
            index_of = {digest.tobytes(): index for index, digest in enumerate(stored)}
            indices = np.array([index_of.get(digest.tobytes(), -1) for digest in digests])
            if (indices >= 0).sum() > (best_indices >= 0).sum():
                best_pixels, best_indices = pixels, indices
        return best_pixels, best_indices


def _reusing(reusable, decode: Decode) -> Decode:
    """Decodes what `DecodedCache._find_reusable` did not find."""
    pixels, index_of = reusable
    if pixels is None:
        return decode

    def decode_or_copy(indices):
        stored = index_of[indices]
        is_stored = stored >= 0
        images = np.empty((len(indices), *pixels.shape[1:]), pixels.dtype)
        images[is_stored] = pixels[stored[is_stored]]
        if not is_stored.all():
            images[~is_stored] = decode(indices[~is_stored])
        return images

    return decode_or_copy


def _lock_of(entry):
    """The lock file, beside the entry because the entry itself may be removed."""
    return entry.with_name(f"{entry.name}.lock")


@contextlib.contextmanager
def _locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Holds a lock file: one process at a time creates an entry; others then find it complete.

    Raises:
        BlockingIOError: Another process holds it, and `wait` is false.
    """

    def report_waiting():
        entry = path.with_suffix("")
        say(f"data: another process writes to {entry}; waiting for it")

    with locked_file(path, report_waiting if wait else None):
        yield


def _error_message(error, folder, size):
    if error.errno in DISK_FULL:
        return (
            f"there is no room in {folder} for the {size / GIB:.3g} GiB of decoded images; give "
            "--cache_dir on another disk, or a smaller --cache_gib (0: images are decoded again "
            "each time)"
        )
    return (
        f"decoded images cannot be kept in {folder} ({error.strerror or error}); give another "
        "--cache_dir"
    )
