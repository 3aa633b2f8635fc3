"""Finds images by their names in a table: ends of their paths, with or without suffix."""

import functools
import os
import posixpath
import re
import unicodedata
from collections.abc import Sequence

from dim_tf.data.folder.file_bytes import SUFFIXES
from dim_tf.data.folder.image_folders import ImageFolders

# Includes suffixes of formats that are not read: a table may be older than its converted images.
_IMAGE_SUFFIX = re.compile(
    rf"({'|'.join(map(re.escape, SUFFIXES))}|\.dcm|\.dicom|\.npy)$", re.IGNORECASE
)

_RELATIVE = 0  # instead of a number of parts: the path relative to the folder of images
_Table = dict[str, list[int]]


class ImageLookup:
    """Images by their paths.

    Args:
        names: Names of the images.
        folders: The folders of the images.
    """

    def __init__(self, names: Sequence[str], folders: ImageFolders):
        self._names = names
        self._folders = folders
        self._tables: dict[tuple[int, bool], _Table] = {}  # created when they are needed

    def find(self, name: str) -> list[int]:
        """The indices of the images that a name may mean; empty if there is none.

        The first of these rules that matches an image applies: its path relative to the images'
        folder, with or without its suffix; the end of its absolute path, with or without its
        suffix, from the file's name alone to folders above the images' folder; and the same two
        after the suffix of the given name is removed, because images may have been converted.
        """
        parts = _parts(name)
        path, count = "/".join(parts), len(parts)
        stem = _IMAGE_SUFFIX.sub("", path)
        for key, length, with_suffix in (
            (path, _RELATIVE, True),
            (path, _RELATIVE, False),
            (path, count, True),
            (path, count, False),
            (stem, _RELATIVE, False),
            (stem, count, False),
        ):
            indices = self._table(length, with_suffix).get(key)
            if indices:
                return indices
        return []

    def _table(self, length, with_suffix):
        """The images by that many last parts of their paths, or by their relative paths."""
        table = self._tables.get((length, with_suffix))
        if table is None:
            table = self._tables[length, with_suffix] = {}
            if with_suffix:
                for index, name in enumerate(self._names):
                    for path in self._paths_of(name, length):
                        table.setdefault(path, []).append(index)
            else:
                for path, indices in self._table(length, True).items():
                    stem = os.path.splitext(path)[0]
                    if stem != path:
                        table.setdefault(stem, []).extend(indices)
        return table

    def _paths_of(self, name, length):
        folder, relative = self._folders.locate(name)
        parts = _parts(relative)
        if length == _RELATIVE:
            return {"/".join(parts), "/".join(_parts(name))}
        return {"/".join((*self._roots[folder], *parts)[-length:])}

    @functools.cached_property
    def _roots(self):
        return [_parts(os.path.abspath(path)) for path in self._folders.paths]


def _parts(path):
    """A path's folders and file in one form of Unicode, because macOS decomposes letters."""
    normalised = posixpath.normpath(unicodedata.normalize("NFC", path.replace("\\", "/")))
    return tuple(part for part in normalised.split("/") if part not in ("", ".", ".."))
