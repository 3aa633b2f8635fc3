"""What is known about each file below a folder of images, kept between runs."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dim_tf.data import npy
from dim_tf.data.folder.array_decoder import MAX_CHANNELS
from dim_tf.data.folder.file_bytes import DIGEST_BYTES
from dim_tf.data.folder.inspection import ARRAY_BITS, InspectedFile
from dim_tf.data.folder.perceptual_hash import HASH_BYTES, THUMBNAIL_BYTES
from dim_tf.data.image_faults import Fault
from dim_tf.data.image_headers import FORMATS
from dim_tf.data.pixel_range import DEPTH
from dim_tf.data.zip_archive import ZipArchive
from dim_tf.system.console import say
from dim_tf.system.files import atomic_replace

VERSION = 5  # of the file, and of how images are inspected


@dataclass(frozen=True)
class Manifest:
    """The files below a folder, sorted by name.

    Attributes:
        names: Names relative to the folder, with "/"; bytes that are not UTF-8 as from
            `os.fsdecode`.
        file_sizes: int64 [N], in bytes.
        mtimes: int64 [N], in ns; -1: cannot be read.
        ctimes: int64 [N], in ns, time of the last change of any kind, which no program can set.
        faults: uint8 [N], values of `Fault`.
        digests: uint8 [N, 16], digests of the contents.
        image_sizes: int32 [N, 2], width and height.
        formats: uint8 [N], indices in `image_headers.FORMATS`.
        pixel_digests: uint8 [N, 16], digests of the decoded pixels.
        channels: uint8 [N], as in `InspectedFile`.
        bits: uint8 [N], as in `InspectedFile`.
        lows: int32 [N], the 0.1th percentile of a file's pixels, in the file's own values.
        highs: int32 [N], the 99.9th percentile.
        hashes: uint8 [N, HASH_BYTES], perceptual hashes.
        thumbnails: uint8 [N, THUMBNAIL_BYTES].
        system_folders: Names of folders made by systems, which are left out -> how many there are.
    """

    names: list[str]
    file_sizes: np.ndarray
    mtimes: np.ndarray
    ctimes: np.ndarray
    faults: np.ndarray
    digests: np.ndarray
    image_sizes: np.ndarray
    formats: np.ndarray
    pixel_digests: np.ndarray
    channels: np.ndarray
    bits: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    hashes: np.ndarray
    thumbnails: np.ndarray
    system_folders: dict[str, int] = field(default_factory=dict)

    @classmethod
    def unscanned(cls, names: list[str]) -> "Manifest":
        """A manifest of files that were not inspected."""
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
            np.zeros(n, np.uint8),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros((n, HASH_BYTES), np.uint8),
            np.zeros((n, THUMBNAIL_BYTES), np.uint8),
        )

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The attributes that are arrays."""
        return {name: column for name, column in vars(self).items() if hasattr(column, "dtype")}

    def __len__(self):
        return len(self.names)

    def select(self, indices: np.ndarray) -> "Manifest":
        """Some of the files, int [M] or bool [N]."""
        indices = np.arange(len(self))[indices]
        columns = {name: column[indices] for name, column in self.columns.items()}
        names = [self.names[index] for index in indices]
        return Manifest(names, **columns, system_folders=self.system_folders)

    def fill(self, index: int, inspected: InspectedFile) -> None:
        """Fills in the results of an inspection."""
        self.faults[index] = inspected.fault
        self.digests[index] = np.frombuffer(inspected.digest, np.uint8)
        self.image_sizes[index] = inspected.width, inspected.height
        self.formats[index] = inspected.format
        self.pixel_digests[index] = np.frombuffer(inspected.pixel_digest, np.uint8)
        self.channels[index] = inspected.channels
        self.bits[index] = inspected.bits
        self.lows[index], self.highs[index] = inspected.low, inspected.high
        self.hashes[index] = np.frombuffer(inspected.hash, np.uint8)
        self.thumbnails[index] = np.frombuffer(inspected.thumbnail, np.uint8)


def join_manifests(manifests: Sequence[Manifest], folders: Sequence[str]) -> Manifest:
    """One manifest for the files of several folders.

    Args:
        manifests: The manifest of each folder.
        folders: Their names; the names of files then start with them.
    """
    names = [
        f"{folder}/{name}" if name else folder  # the folder itself, where it cannot be read
        for folder, manifest in zip(folders, manifests, strict=True)
        for name in manifest.names
    ]
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    system_folders = Counter[str]()
    for manifest in manifests:
        system_folders.update(manifest.system_folders)
    return Manifest(
        [names[index] for index in order],
        **{
            name: np.concatenate([manifest.columns[name] for manifest in manifests])[order]
            for name in manifests[0].columns
        },
        system_folders=dict(sorted(system_folders.items())),
    )


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes a manifest, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Names may hold any bytes but 0: one string.
    names = np.frombuffer(b"\0".join(map(os.fsencode, manifest.names)), np.uint8)
    columns: dict[str, Any] = {"names": names, **manifest.columns}
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, version=VERSION, count=len(manifest), **columns)


def read_manifest(path: Path) -> Manifest:
    """Reads what `write_manifest` wrote; an empty manifest if there is none of this version.

    A damaged manifest also counts as empty, with a message.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except (OSError, KeyError, ValueError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"data: {path} is damaged ({why}); looking at all files again")
    return Manifest.unscanned([])


def _read(path):
    """Like `read_manifest`, but raises OSError, KeyError and ValueError.

    `write_manifest` does not compress, so nothing that is read is larger than the file.
    """
    empty = Manifest.unscanned([])
    with ZipArchive(path) as archive:

        def read_column(name):
            return npy.read_array(archive.read_stored(f"{name}.npy"))

        if not np.array_equal(read_column("version"), VERSION):
            return empty
        count = read_column("count")
        if count.shape or count.dtype.kind not in "iu" or count < 0:
            raise ValueError("it has no count")
        joined = read_column("names").tobytes()
        names = [os.fsdecode(name) for name in joined.split(b"\0")] if count else []
        if len(names) != count:
            raise ValueError(f"{len(names)} names, expected {count}")
        columns = {name: read_column(name).copy() for name in empty.columns}
    for name, column in empty.columns.items():
        expected = column.dtype, (len(names), *column.shape[1:])
        if (columns[name].dtype, columns[name].shape) != expected:
            raise ValueError(f"{name} are of another type or number")
    manifest = Manifest(names, **columns)
    valid = {
        "faults": np.isin(manifest.faults, list(Fault)),
        "formats": manifest.formats < len(FORMATS),
        "channels": manifest.channels <= MAX_CHANNELS,
        "bits": np.isin(manifest.bits, (0, 8, 16, ARRAY_BITS)),
        "image_sizes": manifest.image_sizes >= 0,
        "lows": (manifest.lows >= 0) & (manifest.lows < DEPTH),
        "highs": (manifest.highs >= manifest.lows) & (manifest.highs < DEPTH),
    }
    for name, is_valid in valid.items():
        if not is_valid.all():
            raise ValueError(f"{name} have values that they cannot have")
    return manifest
