"""What is in a folder of images: looked at once, remembered, looked at again where it changed."""

import contextlib
import hashlib
import os
import stat
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from dim_tf.data import image_files
from dim_tf.data.image_files import DIGEST_BYTES, Fault
from dim_tf.files import replacing

VERSION = 1  # of what is remembered, and of how files are judged
CHUNK = 64  # files looked at in a row by one thread
SAVE_EVERY = 120.0  # seconds: what a scan that is killed may lose
TELL_EVERY = 15.0
RUN_FILE = "experiment.json"  # a folder with one is a run's, whose pictures are no data


@dataclass(frozen=True)
class Manifest:
    """The files below a folder, in the order of their names.

    Attributes:
        names: relative to the folder, with "/"; bytes that are no UTF-8 as `os.fsdecode` has them.
        sizes: int64 [N], in bytes.
        times: int64 [N], of the last change, in ns.
        faults: uint8 [N], of `Fault`.
        digests: uint8 [N, 16], of the contents.
        extents: int32 [N, 2], width and height.
        formats: uint8 [N], places in `image_files.FORMATS`.
    """

    names: list[str]
    sizes: np.ndarray
    times: np.ndarray
    faults: np.ndarray
    digests: np.ndarray
    extents: np.ndarray
    formats: np.ndarray

    @classmethod
    def empty(cls, names: list[str]) -> "Manifest":
        """Of files that nobody looked at."""
        n = len(names)
        return cls(
            names,
            np.zeros(n, np.int64),
            np.full(n, -1, np.int64),
            np.full(n, Fault.UNREADABLE, np.uint8),
            np.zeros((n, DIGEST_BYTES), np.uint8),
            np.zeros((n, 2), np.int32),
            np.zeros(n, np.uint8),
        )

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """All but the names."""
        return {name: column for name, column in vars(self).items() if name != "names"}

    def __len__(self):
        return len(self.names)

    def rows(self, wanted: np.ndarray) -> "Manifest":
        """Some of the files, int [M] or bool [N]."""
        places = np.arange(len(self))[wanted]
        kept = {name: column[places] for name, column in self.columns.items()}
        return Manifest([self.names[place] for place in places], **kept)


def scan(folder: Path, cache: Path, skipped: tuple[Path, ...] = ()) -> Manifest:
    """Looks at each file below a folder that is new or has changed since the last scan.

    Hidden files and folders, run folders and `skipped` are left out. Links are followed, wherever
    they lead; a folder that several lead to is looked into once.

    Args:
        folder: the images.
        cache: where what was found is kept, a file for each folder of images.
        skipped: folders that are not looked into.

    Raises:
        OSError: `cache` cannot be written.
    """
    whose = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]
    kept = cache / f"{whose}.npz"
    names, sizes, times = listed(folder, skipped)
    found = Manifest.empty(names)
    found.sizes[:], found.times[:] = sizes, times
    known = read(kept)
    row_of = {name: row for row, name in enumerate(known.names)}
    rows = np.array([row_of.get(name, -1) for name in names], np.int64)
    same = rows >= 0
    same[same] &= (known.sizes[rows[same]] == found.sizes[same]) & (
        known.times[rows[same]] == found.times[same]
    )
    # Again, what could not be opened: its permissions may be others by now.
    same[same] &= known.faults[rows[same]] != Fault.UNREADABLE
    for name, column in found.columns.items():
        column[same] = known.columns[name][rows[same]]
    new = np.flatnonzero(~same & (found.times >= 0))
    if len(new) or len(known) != len(found):
        _look_at(folder, found, new, same, kept)
    return found


def listed(
    folder: Path, skipped: tuple[Path, ...] = ()
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """All files below a folder, in the order of their names; what is left out, `scan` tells.

    Args:
        folder: of the files.
        skipped: folders that are not looked into.

    Returns:
        Names, relative to it; int64 [N] sizes in bytes; int64 [N] times in ns, -1 for folders that
        cannot be read and for links with an image's name that lead nowhere.
    """
    places: list[tuple[str, int, int]] = []
    seen = {_identity(os.stat(path)) for path in skipped if path.exists()}
    waiting, links = [""], list[str]()
    while waiting or links:
        # Real folders first: where links lead to them they keep their own names.
        name = waiting.pop() if waiting else links.pop(0)
        path = folder / name if name else folder
        try:
            identity = _identity(os.stat(path))
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            places.append((name, 0, -1))
            continue
        if name and any(entry.name == RUN_FILE for entry in entries):
            continue
        folders: list[str] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            below = f"{name}/{entry.name}" if name else entry.name
            try:
                status = entry.stat()
            except OSError:  # a link to nothing, or in a circle
                if entry.name.lower().endswith(image_files.SUFFIXES):
                    places.append((below, 0, -1))
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else folders).append(below)
            elif stat.S_ISREG(status.st_mode):
                places.append((below, status.st_size, status.st_mtime_ns))
        waiting.extend(reversed(folders))
    places.sort()
    names = [name for name, _, _ in places]
    numbers = np.array([place[1:] for place in places], np.int64).reshape(-1, 2)
    return names, numbers[:, 0], numbers[:, 1]


def _identity(status):
    return status.st_dev, status.st_ino


def _look_at(folder, found, new, done, kept):
    """Fills in the rows `new` and saves all, on the way what is `done`."""

    def look(rows):
        return rows, [image_files.inspect(folder / found.names[row]) for row in rows]

    saved = told = time.monotonic()
    with _workers() as workers:
        chunks = [new[first : first + CHUNK] for first in range(0, len(new), CHUNK)]
        seen = 0
        for rows, results in workers.map(look, chunks):
            for row, result in zip(rows, results, strict=True):
                found.faults[row] = result.fault
                found.digests[row] = np.frombuffer(result.digest, np.uint8)
                found.extents[row] = result.width, result.height
                found.formats[row] = result.format
            done[rows] = True
            seen += len(rows)
            now = time.monotonic()
            if now - told > TELL_EVERY:
                print(f"data: looked at {seen:,} of {len(new):,} files", flush=True)
                told = now
            if now - saved > SAVE_EVERY:
                write(kept, found.rows(done))
                saved = time.monotonic()
    write(kept, found)


@contextlib.contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Threads: Pillow and hashlib work beside each other. An interrupt does not wait for all."""
    workers = ThreadPoolExecutor(os.cpu_count())
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def write(path: Path, manifest: Manifest) -> None:
    """Writes a manifest, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of names, which may be any bytes but 0: one string.
    names = np.frombuffer(b"\0".join(map(os.fsencode, manifest.names)), np.uint8)
    columns: dict[str, Any] = {"names": names, **manifest.columns}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, version=VERSION, count=len(manifest), **columns)


# What NumPy's and zipfile's readers raise; RuntimeError: encrypted, or another compression.
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    BadZipFile,
    zlib.error,
)


def read(path: Path) -> Manifest:
    """Reads what `write` wrote; an empty one if there is none, or it is another version's.

    So is a damaged one, which is told of.
    """
    nothing = Manifest.empty([])
    try:
        with np.load(path, allow_pickle=False) as found:
            if int(found["version"]) != VERSION:
                return nothing
            count = int(found["count"])
            names = found["names"].tobytes().split(b"\0") if count else []
            made = Manifest(
                [os.fsdecode(name) for name in names],
                **{name: found[name] for name in nothing.columns},
            )
    except FileNotFoundError:
        return nothing
    except _DAMAGED as error:
        print(f"data: {path} is damaged ({type(error).__name__}); looking at all files again")
        return nothing
    whole = all(
        len(column) == len(made.names) == count
        and column.dtype == wanted.dtype
        and column.shape[1:] == wanted.shape[1:]
        for column, wanted in zip(made.columns.values(), nothing.columns.values(), strict=True)
    )
    if not whole:
        print(f"data: {path} is damaged; looking at all files again")
        return nothing
    return made
