"""One entry of the cache of decoded images: a folder that is written once and then mapped.

It holds a .npy file of the pixels, the digests of the files from which they come, and a record with
checksums, which is written last. An entry that a killed process left incomplete is continued.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.data import npy
from dim_tf.system.console import say
from dim_tf.system.files import atomic_write_text, open_for_reading, read_text
from dim_tf.system.json_files import parse_json_object

VERSION = 4  # of the files, and of how images are decoded
CHUNK = 512  # images decoded and written at a time
BLOCK = 2**24  # bytes of pixels per checksum
CHECKED_BLOCKS = 64  # of a large entry, when it is opened
SAVE_EVERY = 10.0  # seconds between records of progress
REPORT_EVERY = 15.0
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

PIXELS, DIGESTS, RECORD = "pixels.npy", "digests.npy", "entry.json"
PARTIAL, PROGRESS = "pixels.partial", "partial.json"

_COUNT = re.compile(r"(\d{1,12})\n?")

Decode = Callable[[np.ndarray], np.ndarray]


def entry_name(digests: np.ndarray, image_shape: tuple[int, ...], dtype: np.dtype) -> str:
    """The name of an entry: a hash of its content.

    Args:
        digests: uint8 [N, D], of what is decoded and how.
        image_shape: Shape of an image's pixels.
        dtype: Type of the pixels.
    """
    digest = hashlib.sha256(f"{VERSION} {dtype} {[*image_shape]} {len(digests)} ".encode())
    digest.update(digests.tobytes())
    return digest.hexdigest()[:32]


def open_entry(entry: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """The pixels of a complete entry, mapped; None if it is incomplete, or damaged (says so).

    Args:
        entry: Its folder.
        shape: Shape of the pixels.
        dtype: Type of the pixels.
    """
    if not (entry / RECORD).exists():
        return None
    damage = _find_damage(entry, shape, dtype)
    if damage:
        say(f"data: {entry} is damaged ({damage}); decoding its images again")
        return None
    return _map_pixels(entry)


def read_entry(
    entry: Path, image_shape: tuple[int, ...], dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray] | None:
    """The digests and pixels of any entry; None if the shape of its images or its version differs.

    Args:
        entry: Its folder.
        image_shape: Shape of an image's pixels.
        dtype: Type of the pixels.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    record = parse_json_object(read_text(entry / RECORD))
    shape = record.get("shape")
    if record.get("version") != VERSION or not isinstance(shape, list):
        return None
    if shape[1:] != [*image_shape] or record.get("dtype") != str(dtype):
        return None
    path = entry / DIGESTS
    digests = npy.read_array(npy.read_bytes(path, path.stat().st_size))
    is_valid = digests.ndim == 2 and digests.dtype == np.uint8
    if not is_valid or entry_name(digests, image_shape, dtype) != entry.name:
        raise ValueError("its digests are not its own")
    damage = _find_damage(entry, (len(digests), *image_shape), dtype)
    if damage:
        raise ValueError(damage)
    return digests, _map_pixels(entry)


def _map_pixels(entry):
    """The pixels of an undamaged entry."""
    return np.lib.format.open_memmap(entry / PIXELS, mode="r").view(np.ndarray)


def _find_damage(entry, shape, dtype):
    """What is wrong with an entry; empty if nothing is."""
    try:
        record = parse_json_object(read_text(entry / RECORD))
        if record.get("version") != VERSION or record.get("shape") != list(shape):
            return "its record is of other images"
        path = entry / PIXELS
        with open_for_reading(path) as file:
            size = os.fstat(file.fileno()).st_size
            if npy.read_header(file) != (shape, dtype):
                return "its header is wrong"
            if size != file.tell() + int(np.prod(shape)) * dtype.itemsize:
                return "its size is wrong"
        checksums = record.get("checksums")
        if not isinstance(checksums, list) or len(checksums) != -(-size // BLOCK):
            return "its record has no checksums"
        blocks = np.unique(np.linspace(0, len(checksums) - 1, CHECKED_BLOCKS).astype(int))
        if _checksums(path, blocks.tolist()) != [checksums[block] for block in blocks]:
            return "its checksum is wrong"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _checksums(path, blocks=None):
    """CRC-32 of some blocks of a file; None: of all blocks."""
    if blocks is None:
        blocks = range(-(-path.stat().st_size // BLOCK))
    checksums = []
    with open(path, "rb") as file:
        for block in blocks:
            file.seek(block * BLOCK)
            checksums.append(zlib.crc32(file.read(BLOCK)))
    return checksums


@dataclass(frozen=True)
class EntryWriter:
    """Writes an entry chunk by chunk.

    It does not write through a memory map, because a full disk would then end the process instead
    of raising an error.

    Attributes:
        entry: Its folder, which exists.
        digests: uint8 [N, D], of what is decoded and how.
        shape: Shape of the pixels, (N, H, W, C).
        dtype: Type of the pixels.
    """

    entry: Path
    digests: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype

    def write(self, decode: Decode) -> None:
        """Decodes and writes the images that no earlier process has written.

        Args:
            decode: Indices, int [M] -> pixels [M, H, W, C].

        Raises:
            OSError: It cannot be written; on a full disk nothing of it is left.
        """
        for name in (RECORD, PIXELS, DIGESTS):
            (self.entry / name).unlink(missing_ok=True)
        try:
            checksums = self._write_pixels(decode)
            with open(self.entry / DIGESTS, "wb") as file:
                np.save(file, self.digests, allow_pickle=False)
                _flush_to_disk(file)
            os.replace(self.entry / PARTIAL, self.entry / PIXELS)
            (self.entry / PROGRESS).unlink(missing_ok=True)
            record = {
                "version": VERSION,
                "shape": list(self.shape),
                "dtype": str(self.dtype),
                "checksums": checksums,
            }
            atomic_write_text(self.entry / RECORD, json.dumps(record) + "\n")
        except OSError as error:
            if error.errno in DISK_FULL:  # others need the space
                shutil.rmtree(self.entry, ignore_errors=True)
            raise

    def _write_pixels(self, decode):
        count = self.shape[0]
        image_bytes = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        header = _npy_header(self.shape, self.dtype)
        start = self._count_written(header, image_bytes)
        if start:
            say(f"data: {start:,} of {count:,} images are decoded; going on")
        mode = "r+b" if start else "wb"
        saved = reported = time.monotonic()
        with open(self.entry / PARTIAL, mode) as file:
            if not start:
                file.write(header)
            file.truncate(len(header) + start * image_bytes)
            file.seek(0, os.SEEK_END)
            _check_free_space(self.entry, (count - start) * image_bytes)
            for first in range(start, count, CHUNK):
                indices = np.arange(first, min(first + CHUNK, count))
                file.write(np.ascontiguousarray(decode(indices)))
                now = time.monotonic()
                if now - reported > REPORT_EVERY:
                    say(f"data: decoded {indices[-1] + 1:,} of {count:,} images")
                    reported = now
                if now - saved > SAVE_EVERY:
                    _flush_to_disk(file)
                    atomic_write_text(self.entry / PROGRESS, f"{indices[-1] + 1}\n")
                    saved = now
            _flush_to_disk(file)
        return _checksums(self.entry / PARTIAL)

    def _count_written(self, header, image_bytes):
        """How many images another process has already written here."""
        try:
            progress = _COUNT.fullmatch(read_text(self.entry / PROGRESS))
            with open(self.entry / PARTIAL, "rb") as file:
                has_header = file.read(len(header)) == header
                size = os.fstat(file.fileno()).st_size
        except (OSError, ValueError):
            return 0
        count = int(progress[1]) if progress else 0
        fits = 0 < count <= self.shape[0] and size >= len(header) + count * image_bytes
        return count if fits and has_header else 0


def _npy_header(shape, dtype):
    """The first bytes of a .npy file."""
    file = io.BytesIO()
    header = {"descr": dtype.str, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def _check_free_space(folder, size):
    """Raises OSError if the disk has fewer free bytes."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _flush_to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def size_on_disk(entry: Path) -> int:
    """The size of an entry's files in bytes."""
    return sum(status.st_size for _, status in _files_of(entry))


def last_use(entry: Path) -> float:
    """When an entry was last opened, in seconds since the epoch; 0: never."""
    times = [status.st_mtime for path, status in _files_of(entry) if path.suffix == ".json"]
    return max(times, default=0.0)


def _files_of(entry: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files of an entry, to which another process may be writing."""
    with contextlib.suppress(FileNotFoundError):
        for path in list(entry.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()
