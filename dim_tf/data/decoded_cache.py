"""Decoded images on a local disk: written once, then read by rows in any order.

An entry is a folder named by what it holds: a .npy file of the pixels, which is mapped into memory,
the digests of the files that they come from, and a record with checksums, written last. What a
process that was killed left is gone on with; what is damaged is made again.
"""

import contextlib
import errno
import hashlib
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
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, read_text
from dim_tf.system.json_files import parse_json_object
from dim_tf.system.locks import locked_file

VERSION = 2  # of the files, and of how images are decoded
ROWS = 512  # images decoded and written at a time
BLOCK = 2**24  # bytes of pixels that have a checksum of their own
CHECKED_BLOCKS = 64  # of a large entry, when it is opened
SAVE_EVERY = 10.0  # seconds between notes on how far the writing is
TELL_EVERY = 15.0
GIB = 2**30
FULL = (errno.ENOSPC, errno.EDQUOT)

PIXELS, DIGESTS, RECORD = "pixels.npy", "digests.npy", "entry.json"
PARTIAL, PARTIAL_RECORD = "pixels.partial", "partial.json"

_ROWS = re.compile(r"(\d{1,12})\n?")

Decode = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DecodedCache:
    """All entries of a folder, and how much they may take.

    Attributes:
        folder: of the entries.
        gib: the bound of their pixels, in GiB.
    """

    folder: Path
    gib: float

    def open(self, digests: np.ndarray, size: int, decode: Decode) -> np.ndarray:
        """The first of some images, as many as the bound allows.

        Entries that were not used for longest are removed for a new one.

        Args:
            digests: uint8 [N, D], of what is decoded and how.
            size: pixels a side.
            decode: row numbers, int [M] -> uint8 [M, size, size, 3]; called for those that no
                entry has.

        Returns:
            uint8 [K, size, size, 3], K ≤ N, mapped from the disk, not to be written to.

        Raises:
            InputError: the folder cannot be written, or the disk is full.
        """
        count = min(len(digests), int(self.gib * GIB) // (size * size * 3))
        shape = (count, size, size, 3)
        if not count:
            return np.zeros(shape, np.uint8)
        digests = np.ascontiguousarray(digests[:count])
        entry = self.folder / _key(digests, size)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(_lock_of(entry)):
                pixels = _opened(entry, shape)
                if pixels is None:
                    entry.mkdir(exist_ok=True)
                    older = self._older(entry, digests, size)  # mapped: it may be removed now
                    self._make_room(entry, count * size * size * 3)
                    _Writing(entry, digests, shape).write(_from(older, decode))
                    # Again: others may have been made at the same time.
                    self._make_room(entry, count * size * size * 3)
                    pixels = _opened(entry, shape)
                os.utime(entry / RECORD)
        except OSError as error:
            raise InputError(_told(error, self.folder, count * size * size * 3)) from error
        if pixels is None:
            raise InputError(
                f"{entry / PIXELS} was written and does not read the same; its disk is failing, or "
                "another program writes to it: give another --cache_dir"
            )
        return pixels

    def _make_room(self, entry, size):
        """Removes others, those not used for longest first, until `size` more bytes are allowed.

        Those that another process makes or opens are left.
        """
        with _locked(self.folder / "lock"):
            others = [path for path in self.folder.iterdir() if path.is_dir() and path != entry]
            taken = size + sum(map(_bytes_of, others))
            for path in sorted(others, key=_last_use):
                if taken <= self.gib * GIB:
                    return
                with contextlib.suppress(BlockingIOError), _locked(_lock_of(path), wait=False):
                    taken -= _bytes_of(path)
                    shutil.rmtree(path, ignore_errors=True)
                    _lock_of(path).unlink()

    def _older(self, entry, digests, size):
        """For each digest its row in another entry of this size, and that one's pixels."""
        best, best_rows = None, np.full(len(digests), -1)
        for path in self.folder.iterdir():
            if path == entry or not (path / RECORD).exists():
                continue
            try:
                theirs, pixels = _whole(path, size)
            except (OSError, ValueError) as error:
                say(f"data: {path} is damaged ({error}); nothing of it is used")
                continue
            if pixels is None or theirs.shape[1:] != digests.shape[1:]:
                continue
            row_of = {one.tobytes(): row for row, one in enumerate(theirs)}
            rows = np.array([row_of.get(one.tobytes(), -1) for one in digests])
            if (rows >= 0).sum() > (best_rows >= 0).sum():
                best, best_rows = pixels, rows
        return best, best_rows


def _whole(entry, size):
    """The digests and pixels of any entry; None, None: it is of another size or version.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    record = parse_json_object(read_text(entry / RECORD))
    shape = record.get("shape")
    if record.get("version") != VERSION or not isinstance(shape, list):
        return None, None
    if shape[1:] != [size, size, 3]:
        return None, None
    digests = npy.array(npy.octets(entry / DIGESTS, (entry / DIGESTS).stat().st_size))
    # An entry's name is the hash of its digests.
    if digests.ndim != 2 or digests.dtype != np.uint8 or _key(digests, size) != entry.name:
        raise ValueError("its digests are not its own")
    shape = (len(digests), size, size, 3)
    why = _damage(entry, shape)
    if why:
        raise ValueError(why)
    return digests, _mapped(entry, shape)


def _key(digests, size):
    found = hashlib.sha256(f"{VERSION} {size} {len(digests)} ".encode())
    found.update(digests.tobytes())
    return found.hexdigest()[:32]


def _from(older, decode: Decode) -> Decode:
    """Decodes what the older entry has not."""
    pixels, row_of = older
    if pixels is None:
        return decode

    def found(rows):
        theirs = row_of[rows]
        known = theirs >= 0
        made = np.empty((len(rows), *pixels.shape[1:]), np.uint8)
        made[known] = pixels[theirs[known]]
        if not known.all():
            made[~known] = decode(rows[~known])
        return made

    return found


@dataclass(frozen=True)
class _Writing:
    """An entry that is being written.

    Row after row: a map of a file on a full disk would end the process instead of an error.
    """

    entry: Path
    digests: np.ndarray
    shape: tuple[int, ...]

    def write(self, decode: Decode) -> None:
        for name in (RECORD, PIXELS, DIGESTS):
            (self.entry / name).unlink(missing_ok=True)
        try:
            checksums = self._write_pixels(decode)
            with open(self.entry / DIGESTS, "wb") as file:
                np.save(file, self.digests, allow_pickle=False)
                _to_disk(file)
            os.replace(self.entry / PARTIAL, self.entry / PIXELS)
            (self.entry / PARTIAL_RECORD).unlink(missing_ok=True)
            record = {"version": VERSION, "shape": list(self.shape), "checksums": checksums}
            atomic_write_text(self.entry / RECORD, json.dumps(record) + "\n")
        except OSError as error:
            if error.errno in FULL:  # the room is needed for something else
                shutil.rmtree(self.entry, ignore_errors=True)
            raise

    def _write_pixels(self, decode):
        count = self.shape[0]
        row_bytes = int(np.prod(self.shape[1:]))
        header = _header(self.shape)
        begin = self._written(header, row_bytes)
        if begin:
            say(f"data: {begin:,} of {count:,} images are decoded; going on")
        mode = "r+b" if begin else "wb"
        saved = told = time.monotonic()
        with open(self.entry / PARTIAL, mode) as file:
            if not begin:
                file.write(header)
            file.truncate(len(header) + begin * row_bytes)
            file.seek(0, os.SEEK_END)
            _room(self.entry, (count - begin) * row_bytes)
            for first in range(begin, count, ROWS):
                rows = np.arange(first, min(first + ROWS, count))
                file.write(np.ascontiguousarray(decode(rows)))
                now = time.monotonic()
                if now - told > TELL_EVERY:
                    say(f"data: decoded {rows[-1] + 1:,} of {count:,} images")
                    told = now
                if now - saved > SAVE_EVERY:
                    _to_disk(file)
                    atomic_write_text(self.entry / PARTIAL_RECORD, f"{rows[-1] + 1}\n")
                    saved = now
            _to_disk(file)
        return _checksums(self.entry / PARTIAL, None)

    def _written(self, header, row_bytes):
        """How many rows another process left here."""
        try:
            rows = _ROWS.fullmatch(read_text(self.entry / PARTIAL_RECORD))
            with open(self.entry / PARTIAL, "rb") as file:
                same = file.read(len(header)) == header
                size = os.fstat(file.fileno()).st_size
        except (OSError, ValueError):
            return 0
        count = int(rows[1]) if rows else 0
        fits = 0 < count <= self.shape[0] and size >= len(header) + count * row_bytes
        return count if fits and same else 0


def _opened(entry, shape):
    """The pixels of a whole entry; None if it is not whole, which is told where it was before."""
    if not (entry / RECORD).exists():
        return None
    why = _damage(entry, shape)
    if why:
        say(f"data: {entry} is damaged ({why}); decoding its images again")
        return None
    return _mapped(entry, shape)


def _mapped(entry, shape):
    """The pixels, where `_damage` found none."""
    begin = len(_header(shape))
    mapped = np.memmap(entry / PIXELS, np.uint8, "r", begin, shape)
    return mapped.view(np.ndarray)


def _damage(entry, shape):
    """What is wrong with an entry; empty if nothing is."""
    try:
        record = parse_json_object(read_text(entry / RECORD))
        if record.get("version") != VERSION or record.get("shape") != list(shape):
            return "its record is of other images"
        header = _header(shape)
        path = entry / PIXELS
        size = path.stat().st_size
        if size != len(header) + int(np.prod(shape)):
            return "its size is wrong"
        with open(path, "rb") as file:
            if file.read(len(header)) != header:
                return "its header is wrong"
        checksums = record.get("checksums")
        if not isinstance(checksums, list) or len(checksums) != -(-size // BLOCK):
            return "its record has no checksums"
        blocks = np.unique(np.linspace(0, len(checksums) - 1, CHECKED_BLOCKS).astype(int))
        if _checksums(path, blocks.tolist()) != [checksums[block] for block in blocks]:
            return "its checksum is wrong"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _checksums(path, blocks):
    """CRC-32 of blocks of a file; of all: None."""
    if blocks is None:
        blocks = range(-(-path.stat().st_size // BLOCK))
    found = []
    with open(path, "rb") as file:
        for block in blocks:
            file.seek(block * BLOCK)
            found.append(zlib.crc32(file.read(BLOCK)))
    return found


def _header(shape):
    """The first bytes of a .npy file of uint8."""
    described = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    text = repr(described).encode("latin1")
    padding = -(10 + len(text) + 1) % 64
    text += b" " * padding + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _room(folder, size):
    """Raises OSError where the disk has not so many bytes."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def _bytes_of(folder):
    return sum(found.st_size for _, found in _files_of(folder))


def _last_use(folder):
    times = [found.st_mtime for path, found in _files_of(folder) if path.suffix == ".json"]
    return max(times, default=0.0)


def _files_of(folder):
    """The files of an entry, in which another process may write."""
    with contextlib.suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()


def _lock_of(entry):
    """Beside the entry, since the entry itself may be removed."""
    return entry.with_name(f"{entry.name}.lock")


@contextlib.contextmanager
def _locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Holds the lock file at `path`: one process at a time makes an entry, others find it made.

    Raises:
        BlockingIOError: another process holds it, and this one shall not wait.
    """

    def tell():
        where = path.with_suffix("")
        say(f"data: another process writes to {where}; waiting for it")

    with locked_file(path, tell if wait else None):
        yield


def _told(error, folder, size):
    if error.errno in FULL:
        return (
            f"there is no room in {folder} for the {size / GIB:.3g} GiB of decoded images; give "
            "--cache_dir on another disk, or a smaller --cache_gib (0: images are decoded again "
            "each time)"
        )
    return (
        f"decoded images cannot be kept in {folder} ({error.strerror or error}); give another "
        "--cache_dir"
    )
