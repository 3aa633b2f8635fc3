"""Lists the files below a folder of images, without opening them."""

import os
import stat
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dim_tf.data.folder.file_bytes import has_image_suffix
from dim_tf.data.folder.system_folders import is_system_folder

RUN_FILE = "experiment.json"  # a folder with this file is a run's, whose figures are no data


class FileListing(NamedTuple):
    """The files below a folder, sorted by name.

    Attributes:
        names: Names relative to the folder, with "/".
        file_sizes: int64 [N], in bytes.
        mtimes: int64 [N], in ns; -1 for folders that cannot be read, and for dangling links with
            the name of an image.
        ctimes: int64 [N], in ns; -1 for the same ones.
        system_folders: Names of folders made by systems, which are left out -> how many there are.
    """

    names: list[str]
    file_sizes: np.ndarray
    mtimes: np.ndarray
    ctimes: np.ndarray
    system_folders: dict[str, int]


def list_files(folder: Path, excluded: tuple[Path, ...] = ()) -> FileListing:
    """All files below a folder, except those that `scan.scan_folder` leaves out.

    Args:
        folder: Folder of the files.
        excluded: Folders that are not entered.
    """
    files: list[tuple[str, int, int, int]] = []
    system_folders = Counter[str]()
    visited = {_inode(os.stat(path)) for path in excluded if path.exists()}
    pending, links = [""], list[str]()
    while pending or links:
        # Real folders first, so that they keep their own names if links lead to them.
        name = pending.pop() if pending else links.pop(0)
        path = folder / name if name else folder
        try:
            inode = _inode(os.stat(path))
            if inode in visited:
                continue
            visited.add(inode)
            with os.scandir(path) as iterator:
                entries = sorted(iterator, key=lambda entry: entry.name)
        except OSError:
            files.append((name, 0, -1, -1))
            continue
        if name and any(entry.name == RUN_FILE for entry in entries):
            continue
        subfolders: list[str] = []
        for entry in entries:
            if is_system_folder(entry.name) and _is_folder(entry):
                system_folders[entry.name] += 1
                continue
            if entry.name.startswith("."):
                continue
            relative = f"{name}/{entry.name}" if name else entry.name
            try:
                status = entry.stat()
            except OSError:  # a link to nothing, or in a circle
                if has_image_suffix(entry.name):
                    files.append((relative, 0, -1, -1))
                continue
            if stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else subfolders).append(relative)
            elif stat.S_ISREG(status.st_mode):
                stamps = status.st_size, status.st_mtime_ns, status.st_ctime_ns
                files.append((relative, *stamps))
        pending.extend(reversed(subfolders))
    files.sort()
    file_sizes, mtimes, ctimes = np.array([f[1:] for f in files], np.int64).reshape(-1, 3).T
    names = [file[0] for file in files]
    return FileListing(names, file_sizes, mtimes, ctimes, dict(sorted(system_folders.items())))


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:
        return False


def _inode(status):
    return status.st_dev, status.st_ino
