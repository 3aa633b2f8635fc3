"""Scans a folder of images: each file is inspected once, and again if it has changed."""

import dataclasses
import hashlib
import os
import time
from pathlib import Path

import numpy as np

from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.inspection import inspect_file
from dim_tf.data.folder.listing import list_files
from dim_tf.data.folder.manifest import (
    Manifest,
    join_manifests,
    read_manifest,
    write_manifest,
)
from dim_tf.data.folder.thread_pool import cpu_pool
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.data.image_faults import Fault
from dim_tf.system.console import say
from dim_tf.system.errors import InputError

CHUNK = 8  # files inspected in a row by one thread; a photograph takes 50 ms
SAVE_EVERY = 120.0  # seconds: what a scan that is killed may lose
REPORT_EVERY = 15.0
# A file with the same time stamps is unchanged. mtime alone is not enough: programs that copy a
# file over another, such as rsync, often keep it.
_STAMPS = ("file_sizes", "mtimes", "ctimes")
# Faults that may have gone by now: those of permissions, and of packages that were missing.
_TRANSIENT = (
    Fault.UNREADABLE,
    Fault.NO_HEIF,
    Fault.NO_AVIF,
    Fault.NO_JPEG2000,
    Fault.NO_IMAGECODECS,
)


def scan_folders(folders: ImageFolders, cache: Path, max_pixels: int = MAX_PIXELS) -> Manifest:
    """Inspects the files below one or more folders, like `scan_folder`.

    Args:
        folders: The folders of images.
        cache: Where manifests are kept; this folder is not entered.
        max_pixels: As for `inspection.inspect_file`.

    Raises:
        InputError: `cache` cannot be written.
    """
    try:
        manifests = [
            scan_folder(path, cache / "manifests", (cache,), max_pixels) for path in folders.paths
        ]
    except OSError as error:
        raise cache_error(folders, cache, error) from error
    return manifests[0] if len(manifests) == 1 else join_manifests(manifests, folders.names)


def cache_error(folders: ImageFolders, cache: Path, error: OSError) -> InputError:
    """The error to raise if `cache` cannot be written."""
    return InputError(
        f"what is found in {folders} cannot be kept in {cache} ({error.strerror or error}); "
        "give another --cache_dir"
    )


def scan_folder(
    folder: Path,
    cache: Path,
    excluded: tuple[Path, ...] = (),
    max_pixels: int = MAX_PIXELS,
) -> Manifest:
    """Inspects each file below a folder that is new or has changed since the last scan.

    Hidden files and folders, folders made by systems (`system_folders`), run folders and `excluded`
    are left out. Links are followed, wherever they lead; a folder to which several links lead is
    entered only once.

    Args:
        folder: The folder of images.
        cache: Where manifests are kept, one file for each folder of images and `max_pixels`.
        excluded: Folders that are not entered.
        max_pixels: As for `inspection.inspect_file`.

    Raises:
        OSError: `cache` cannot be written.
    """
    key = os.fsencode(os.path.realpath(folder)) + b"\0" + str(max_pixels).encode()
    path = cache / f"{hashlib.sha256(key).hexdigest()[:16]}.npz"
    listing = list_files(folder, excluded)
    manifest = dataclasses.replace(
        Manifest.unscanned(listing.names), system_folders=listing.system_folders
    )
    for stamp in _STAMPS:
        getattr(manifest, stamp)[:] = getattr(listing, stamp)
    previous = read_manifest(path)
    unchanged = _copy_unchanged(previous, manifest)
    changed = np.flatnonzero(~unchanged & (manifest.mtimes >= 0))
    if len(changed) or len(previous) != len(manifest):
        _inspect_files(folder, manifest, changed, unchanged, path, max_pixels)
    return manifest


def _copy_unchanged(previous, manifest):
    """Copies the columns of unchanged files; returns which files these are, bool [N]."""
    index_of = {name: index for index, name in enumerate(previous.names)}
    indices = np.array([index_of.get(name, -1) for name in manifest.names], np.int64)
    unchanged = indices >= 0
    for stamp in _STAMPS:
        before, now = getattr(previous, stamp), getattr(manifest, stamp)
        unchanged[unchanged] = before[indices[unchanged]] == now[unchanged]
    unchanged[unchanged] &= ~np.isin(previous.faults[indices[unchanged]], _TRANSIENT)
    for name, column in manifest.columns.items():
        column[unchanged] = previous.columns[name][indices[unchanged]]
    return unchanged


def _inspect_files(folder, manifest, changed, done, path, max_pixels):
    """Fills in the files in `changed` and saves the manifest; in between, saves those in `done`."""

    def inspect_chunk(indices):
        names = [manifest.names[index] for index in indices]
        return indices, [inspect_file(folder / name, max_pixels=max_pixels) for name in names]

    saved = reported = time.monotonic()
    with cpu_pool() as workers:
        chunks = [changed[start : start + CHUNK] for start in range(0, len(changed), CHUNK)]
        count = 0
        for indices, results in workers.map(inspect_chunk, chunks):
            for index, result in zip(indices, results, strict=True):
                manifest.fill(index, result)
            done[indices] = True
            count += len(indices)
            now = time.monotonic()
            if now - reported > REPORT_EVERY:
                say(f"data: looked at {count:,} of {len(changed):,} files")
                reported = now
            if now - saved > SAVE_EVERY:
                write_manifest(path, manifest.select(done))
                saved = time.monotonic()
    write_manifest(path, manifest)
