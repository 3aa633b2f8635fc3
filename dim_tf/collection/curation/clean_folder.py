"""Writes a copy of a user's folder without redundant images; the folder itself is unchanged."""

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from dim_tf.collection.curation.curation import Curation
from dim_tf.system.errors import InputError, RunError, one_line
from dim_tf.system.files import atomic_replace_folder, make_folder

METHODS = ("copy", "symlink")


@dataclass(frozen=True)
class CleanFolder:
    """A clean folder that was written.

    Attributes:
        path: The folder.
        images: Number of images in it.
        duplicates: Number of images left out as copies of others.
        outliers: Number of images left out as outliers.
    """

    path: Path
    images: int
    duplicates: int
    outliers: int


def write_clean_folder(
    curation: Curation, source: Path, target: Path, method: str, *, without_outliers: bool = False
) -> CleanFolder:
    """Writes one image of each group of duplicates, and all other images, at their own paths.

    The folder is written whole or not at all. Nothing in `source` changes. Files that are not
    images of the collection, such as tables of labels, are not written.

    Args:
        curation: The curation of the images in `source`, whose ids are paths there.
        source: The user's folder.
        target: A new or empty folder, neither inside `source` nor around it.
        method: One of `METHODS`: "copy", files with their times; "symlink", links to the files in
            `source`.
        without_outliers: Whether outliers are left out, too.

    Raises:
        InputError: `source` is not a folder or lacks an image, `target` is not as described, or an
            id is not a path inside a folder.
        RunError: A file cannot be read or written; then `target` does not exist, or is empty.
    """
    if method not in METHODS:
        raise InputError(f"--apply={method!r}; expected one of {', '.join(METHODS)}")
    if not source.is_dir():
        raise InputError(
            f"--apply writes a clean folder of a folder of image files; {source} is none"
        )
    source, target = source.resolve(), target.absolute()
    _check_target(source, target)
    redundant = curation.duplicates.redundant
    outliers = curation.outliers.is_outlier & ~redundant & without_outliers
    kept = np.flatnonzero(~redundant & ~outliers)
    paths = [_inside(curation.images.ids[row]) for row in kept.tolist()]
    for path in paths:
        if not (source / path).is_file():
            raise InputError(
                f"{source / path} is no file (any more); embed the images of {source} again"
            )
    make_folder(target.parent, "--apply_dir")
    try:
        with atomic_replace_folder(target) as folder:
            for path in paths:
                _write(source / path, folder / path, method)
    except OSError as error:
        raise RunError(
            f"the clean folder {target} could not be written: {error.strerror or error}; nothing "
            "is left of it: make room, or give another --apply_dir"
        ) from error
    return CleanFolder(target, len(kept), int(redundant.sum()), int(outliers.sum()))


def _check_target(source, target):
    place = target.resolve()
    if place == source or source in place.parents:
        raise InputError(
            f"--apply_dir={target} is inside of the images' folder {source}; give one elsewhere"
        )
    if place in source.parents:
        raise InputError(
            f"--apply_dir={target} holds the images' folder {source}; give a new or empty one"
        )
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError(f"--apply_dir={target} is no folder; give a new or empty one")
    if target.exists() and any(target.iterdir()):
        raise InputError(f"--apply_dir={target} is not empty; give a new or empty folder")


def _inside(image_id):
    """An id as a path below a folder."""
    path = PurePosixPath(image_id)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in image_id:
        raise InputError(
            f"the id {one_line(repr(image_id), 200)} is no path inside of a folder; --apply needs "
            "the embedding of a folder"
        )
    return Path(*path.parts)


def _write(source, target, method):
    target.parent.mkdir(parents=True, exist_ok=True)
    if method == "copy":
        shutil.copy2(source, target)
    else:
        target.symlink_to(source)
