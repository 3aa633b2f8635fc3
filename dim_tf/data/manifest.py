"""What is in a folder of images: looked at once, remembered, looked at again where it changed."""

import dataclasses
import hashlib
import os
import stat
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dim_tf.data import image_bounds, image_files, npy, system_folders, threads
from dim_tf.data.image_faults import Fault
from dim_tf.data.image_files import DIGEST_BYTES, FORMATS
from dim_tf.data.pixel_range import DEPTH
from dim_tf.data.zip_archive import ZipArchive
from dim_tf.system.console import say
from dim_tf.system.files import atomic_replace

VERSION = 2  # of what is remembered, and of how files are judged
CHUNK = 64  # files looked at in a row by one thread
SAVE_EVERY = 120.0  # seconds: what a scan that is killed may lose
TELL_EVERY = 15.0
_STAMPS = ("sizes", "times", "changes")  # by which a file is taken for the same
RUN_FILE = "experiment.json"  # a folder with one is a run's, whose pictures are no data

# Faults that may be gone by now: of permissions, and of packages that were missing.
_PASSING = (Fault.UNREADABLE, Fault.NO_HEIF, Fault.NO_AVIF, Fault.NO_JPEG2000)


@dataclass(frozen=True)
class Manifest:
    """The files below a folder, in the order of their names.

    Attributes:
        names: relative to the folder, with "/"; bytes that are no UTF-8 as `os.fsdecode` has them.
        sizes: int64 [N], in bytes.
        times: int64 [N], of the last change of the content (mtime), in ns; -1: cannot be read.
        changes: int64 [N], of the last change of anything (ctime), which no program sets, in ns.
        faults: uint8 [N], of `Fault`.
        digests: uint8 [N, 16], of the contents.
        extents: int32 [N, 2], width and height.
        formats: uint8 [N], places in `image_files.FORMATS`.
        pixel_digests: uint8 [N, 16], of the decoded pixels.
        bits: uint8 [N], of a channel's pixels, 8 or 16; 0 where they were not decoded.
        lows: int32 [N], the 0.1th percentile of a file's pixels, in its own values.
        highs: int32 [N], the 99.9th.
        system_folders: names of those that systems made and that are left out -> how many.
    """

    names: list[str]
    sizes: np.ndarray
    times: np.ndarray
    changes: np.ndarray
    faults: np.ndarray
    digests: np.ndarray
    extents: np.ndarray
    formats: np.ndarray
    pixel_digests: np.ndarray
    bits: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    system_folders: dict[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, names: list[str]) -> "Manifest":
        """Of files that nobody looked at."""
        n = len(names)
        return cls(
            names,
            np.zeros(n, np.int64),
            np.full(n, -1, np.int64),
            np.full(n, -1, np.int64),
            np.full(n, Fault.UNREADABLE, np.uint8),
            np.zeros((n, DIGEST_BYTES), np.uint8),
            np.zeros((n, 2), np.int32),
            np.zeros(n, np.uint8),
            np.zeros((n, DIGEST_BYTES), np.uint8),
            np.zeros(n, np.uint8),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
        )

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """What is an array."""
        return {name: column for name, column in vars(self).items() if hasattr(column, "dtype")}

    def __len__(self):
        return len(self.names)

    def rows(self, wanted: np.ndarray) -> "Manifest":
        """Some of the files, int [M] or bool [N]."""
        places = np.arange(len(self))[wanted]
        kept = {name: column[places] for name, column in self.columns.items()}
        names = [self.names[place] for place in places]
        return Manifest(names, **kept, system_folders=self.system_folders)


class Listing(NamedTuple):
    """The files below a folder, in the order of their names.

    Attributes:
        names: relative to the folder, with "/".
        sizes: int64 [N], in bytes.
        times: int64 [N], mtimes in ns; -1 for folders that cannot be read and for links with an
            image's name that lead nowhere.
        changes: int64 [N], ctimes in ns; likewise.
        system_folders: names of those that systems made and that are left out -> how many.
    """

    names: list[str]
    sizes: np.ndarray
    times: np.ndarray
    changes: np.ndarray
    system_folders: dict[str, int]


def scan(
    folder: Path,
    cache: Path,
    skipped: tuple[Path, ...] = (),
    max_pixels: int = image_bounds.MAX_PIXELS,
) -> Manifest:
    """Looks at each file below a folder that is new or has changed since the last scan.

    Hidden files and folders, those that systems make (`system_folders`), run folders and `skipped`
    are left out. Links are followed, wherever they lead; a folder that several lead to is looked
    into once.

    Args:
        folder: the images.
        cache: where what was found is kept, a file for each folder of images and `max_pixels`.
        skipped: folders that are not looked into.
        max_pixels: as `image_files.inspect` has it.

    Raises:
        OSError: `cache` cannot be written.
    """
    whose = os.fsencode(os.path.realpath(folder)) + b"\0" + str(max_pixels).encode()
    kept = cache / f"{hashlib.sha256(whose).hexdigest()[:16]}.npz"
    listing = listed(folder, skipped)
    names = listing.names
    found = dataclasses.replace(Manifest.empty(names), system_folders=listing.system_folders)
    for stamp in _STAMPS:
        getattr(found, stamp)[:] = getattr(listing, stamp)
    known = read(kept)
    row_of = {name: row for row, name in enumerate(known.names)}
    rows = np.array([row_of.get(name, -1) for name in names], np.int64)
    same = rows >= 0
    # Not mtime alone: what copies a file over another, as rsync does, often keeps it.
    for stamp in _STAMPS:
        before, now = getattr(known, stamp), getattr(found, stamp)
        same[same] = before[rows[same]] == now[same]
    same[same] &= ~np.isin(known.faults[rows[same]], _PASSING)
    for name, column in found.columns.items():
        column[same] = known.columns[name][rows[same]]
    new = np.flatnonzero(~same & (found.times >= 0))
    if len(new) or len(known) != len(found):
        _look_at(folder, found, new, same, kept, max_pixels)
    return found


def listed(folder: Path, skipped: tuple[Path, ...] = ()) -> Listing:
    """All files below a folder; what is left out, `scan` tells.

    Args:
        folder: of the files.
        skipped: folders that are not looked into.
    """
    places: list[tuple[str, int, int, int]] = []
    of_systems = Counter[str]()
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
            places.append((name, 0, -1, -1))
            continue
        if name and any(entry.name == RUN_FILE for entry in entries):
            continue
        folders: list[str] = []
        for entry in entries:
            if system_folders.is_one(entry.name) and _is_folder(entry):
                of_systems[entry.name] += 1
                continue
            if entry.name.startswith("."):
                continue
            below = f"{name}/{entry.name}" if name else entry.name
            try:
                status = entry.stat()
            except OSError:  # a link to nothing, or in a circle
                if entry.name.lower().endswith(image_files.SUFFIXES):
                    places.append((below, 0, -1, -1))
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else folders).append(below)
            elif stat.S_ISREG(status.st_mode):
                of_file = status.st_size, status.st_mtime_ns, status.st_ctime_ns
                places.append((below, *of_file))
        waiting.extend(reversed(folders))
    places.sort()
    numbers = np.array([place[1:] for place in places], np.int64).reshape(-1, 3)
    sizes, times, changes = numbers.T
    names = [place[0] for place in places]
    return Listing(names, sizes, times, changes, dict(sorted(of_systems.items())))


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(status):
    return status.st_dev, status.st_ino


def _look_at(folder, found, new, done, kept, max_pixels):
    """Fills in the rows `new` and saves all, on the way what is `done`."""

    def look(rows):
        names = [found.names[row] for row in rows]
        return rows, [image_files.inspect(folder / n, max_pixels=max_pixels) for n in names]

    saved = told = time.monotonic()
    with threads.pool() as workers:
        chunks = [new[first : first + CHUNK] for first in range(0, len(new), CHUNK)]
        seen = 0
        for rows, results in workers.map(look, chunks):
            for row, result in zip(rows, results, strict=True):
                found.faults[row] = result.fault
                found.digests[row] = np.frombuffer(result.digest, np.uint8)
                found.extents[row] = result.width, result.height
                found.formats[row] = result.format
                found.pixel_digests[row] = np.frombuffer(result.pixel_digest, np.uint8)
                found.bits[row] = result.bits
                found.lows[row], found.highs[row] = result.low, result.high
            done[rows] = True
            seen += len(rows)
            now = time.monotonic()
            if now - told > TELL_EVERY:
                say(f"data: looked at {seen:,} of {len(new):,} files")
                told = now
            if now - saved > SAVE_EVERY:
                write(kept, found.rows(done))
                saved = time.monotonic()
    write(kept, found)


def write(path: Path, manifest: Manifest) -> None:
    """Writes a manifest, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of names, which may be any bytes but 0: one string.
    names = np.frombuffer(b"\0".join(map(os.fsencode, manifest.names)), np.uint8)
    columns: dict[str, Any] = {"names": names, **manifest.columns}
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, version=VERSION, count=len(manifest), **columns)


def read(path: Path) -> Manifest:
    """Reads what `write` wrote; an empty one if there is none, or it is another version's.

    So is a damaged one, which is told of.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except (OSError, KeyError, ValueError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"data: {path} is damaged ({why}); looking at all files again")
    return Manifest.empty([])


def _read(path):
    """`read`, whose errors are OSError, KeyError and ValueError: `ZipArchive` and `npy` say so.

    `write` does not compress: nothing that is read is larger than the file.
    """
    with ZipArchive(path) as archive:

        def column(name):
            return npy.array(archive.read_stored(f"{name}.npy"))

        if not np.array_equal(column("version"), VERSION):
            return Manifest.empty([])
        count = column("count")
        if count.shape or count.dtype.kind not in "iu" or count < 0:
            raise ValueError("it has no count")
        octets = column("names").tobytes()
        names = [os.fsdecode(name) for name in octets.split(b"\0")] if count else []
        if len(names) != count:
            raise ValueError(f"{len(names)} names, expected {count}")
        nothing = Manifest.empty([])
        columns = {name: column(name).copy() for name in nothing.columns}
    for name, expected in nothing.columns.items():
        if (columns[name].dtype, columns[name].shape) != (
            expected.dtype,
            (len(names), *expected.shape[1:]),
        ):
            raise ValueError(f"{name} are of another type or number")
    found = Manifest(names, **columns)
    values = {
        "faults": np.isin(found.faults, list(Fault)),
        "formats": found.formats < len(FORMATS),
        "bits": np.isin(found.bits, (0, 8, 16)),
        "extents": found.extents >= 0,
        "lows": (found.lows >= 0) & (found.lows < DEPTH),
        "highs": (found.highs >= found.lows) & (found.highs < DEPTH),
    }
    for name, sensible in values.items():
        if not sensible.all():
            raise ValueError(f"{name} have values that they cannot have")
    return found
