"""The folders of --data_dir: one, or several that form one data set. Imports no NumPy."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dim_tf.system.errors import InputError

_LONGEST_JOINED_NAME = 100  # characters


@dataclass(frozen=True)
class ImageFolders:
    """A folder of images, or several that form one data set.

    Attributes:
        paths: Paths of the folders.
        names: Names of the folders, each different. If there are several folders, the names of
            images start with them.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]

    def __str__(self):
        return ",".join(map(str, self.paths))

    def locate(self, name: str) -> tuple[int, str]:
        """The index of the folder that an image is in, and the image's name relative to it."""
        if len(self.paths) == 1:
            return 0, name
        folder, _, relative = name.partition("/")
        return self._index_of[folder], relative

    def path_of(self, name: str) -> Path:
        """The path of an image."""
        index, relative = self.locate(name)
        return self.paths[index] / relative

    @functools.cached_property
    def _index_of(self):
        return {name: index for index, name in enumerate(self.names)}


def split_data_dir(data_dir: str) -> list[str]:
    """The paths in --data_dir, which are separated by commas.

    A comma in the path of an existing folder does not separate.
    """
    parts, paths = data_dir.split(","), list[str]()
    while parts:
        lengths = range(len(parts), 1, -1)
        is_folder = (os.path.isdir(os.path.expanduser(",".join(parts[:n]))) for n in lengths)
        length = next((n for n, exists in zip(lengths, is_folder, strict=True) if exists), 1)
        paths.append(",".join(parts[:length]))
        parts = parts[length:]
    return paths


def joined_name(data_dir: str) -> str:
    """The name of a folder, or of several together.

    Raises:
        ValueError: A path contains a NUL.
    """
    names = [_name_of(os.path.expanduser(path)) for path in split_data_dir(data_dir)]
    joined = "-".join(names)
    if len(names) > 1 and len(joined) > _LONGEST_JOINED_NAME:
        return f"{names[0]}-and-{len(names) - 1}-more"
    return joined


def join_folders(name: str, paths: Sequence[str]) -> str:
    """The paths of several folders in the form of --data_dir, separated by commas.

    Args:
        name: Name of the argument that they come from, for the error.
        paths: Paths of the folders.

    Raises:
        InputError: `split_data_dir` would not return the same paths.
    """
    joined = ",".join(paths)
    if paths and split_data_dir(joined) != list(paths):
        raise InputError(
            f"{name}={list(paths)}: the commas in their paths cannot be told from those between "
            "them; rename the folders"
        )
    return joined


def open_folders(data_dir: str, flag: str = "--data_dir") -> ImageFolders:
    """The folders of --dataset=folder, or those of another flag.

    Args:
        data_dir: Their paths, separated by commas.
        flag: The flag that names them, for the errors.

    Raises:
        InputError: A folder is missing, cannot be read, is given twice or is inside another.
    """
    if not data_dir:
        raise InputError("--dataset=folder needs --data_dir=PATH, the folder of your images")
    parts = split_data_dir(data_dir)
    if "" in parts:
        raise InputError(
            f"{flag}={data_dir} has nothing on one side of a comma; give folders with commas "
            "between"
        )
    # pathlib refuses unknown users.
    paths = [Path(os.path.expanduser(part)) for part in parts]
    for path in paths:
        _check_folder(path, flag)
    _check_disjoint(paths, flag)
    return ImageFolders(tuple(paths), _unique_names(paths))


def _check_folder(folder: Path, flag: str) -> None:
    try:
        with os.scandir(folder):
            return
    except NotADirectoryError as error:
        raise InputError(
            f"{flag}={folder} is a file; give a folder, below which images are looked for"
        ) from error
    except OSError as error:
        raise InputError(
            f"{flag}={folder} cannot be read ({error.strerror}); give the folder of your images"
        ) from error


def _check_disjoint(paths: Sequence[Path], flag: str) -> None:
    """Checks that no folder contains another: its images would be read twice, with two names."""
    real = [Path(os.path.realpath(path)) for path in paths]
    for index, path in enumerate(real):
        for other, other_path in enumerate(real):
            if index == other or not path.is_relative_to(other_path):
                continue
            where = "is given twice" if path == other_path else f"is within {paths[other]}"
            raise InputError(f"{flag}: {paths[index]} {where}; give each image's folder once")


def _unique_names(paths: Sequence[Path]) -> tuple[str, ...]:
    names = list[str]()
    for path in paths:
        name = unique = _name_of(path)
        number = 2
        while unique in names:
            unique, number = f"{name}-{number}", number + 1
        names.append(unique)
    return tuple(names)


def _name_of(path: Path | str) -> str:
    return os.path.basename(os.path.realpath(path)) or "folder"  # of / itself
