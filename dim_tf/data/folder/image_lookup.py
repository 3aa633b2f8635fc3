"""Finds images by what a table calls them: the end of their path, with its suffix or without."""

import os
import posixpath
import re
import unicodedata
from collections.abc import Sequence

from dim_tf.data.folder.file_bytes import SUFFIXES
from dim_tf.data.folder.image_folders import ImageFolders

# Those of a table that was written before its images were converted, too.
_IMAGE_SUFFIX = re.compile(
    rf"({'|'.join(map(re.escape, SUFFIXES))}|\.dcm|\.dicom|\.npy)$", re.IGNORECASE
)


class ImageLookup:
    """Images by their paths.

    Args:
        names: of the images.
        folders: that they are in.
    """

    def __init__(self, names: Sequence[str], folders: ImageFolders):
        roots = [_parts(os.path.abspath(path)) for path in folders.paths]
        self._paths = []
        self._relative: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            folder, relative = folders.locate(name)
            parts = _parts(relative)
            self._paths.append((*roots[folder], *parts))
            for path in {"/".join(parts), "/".join(_parts(name))}:
                self._relative.setdefault(path, []).append(index)
        self._relative_stems = _by_stem(self._relative)
        self._ends: dict[int, tuple[dict[str, list[int]], dict[str, list[int]]]] = {}

    def find(self, name: str) -> list[int]:
        """The indices of the images that a name may mean; empty: there is none.

        It is the path relative to the images' folder; else the last parts of the path, as the name
        of the file alone, or with more folders than the images' own. Either is without the suffix
        where nothing has it with one, and of another suffix where nothing has it without.
        """
        parts = _parts(name)
        path = "/".join(parts)
        ends, end_stems = self._ends_of(len(parts))
        stem = _IMAGE_SUFFIX.sub("", path)
        keys = (
            (self._relative, path),
            (self._relative_stems, path),
            (ends, path),
            (end_stems, path),
            (self._relative_stems, stem),
            (end_stems, stem),
        )
        return next((table[key] for table, key in keys if key in table), [])

    def _ends_of(self, count):
        """The images by the last parts of their paths, with and without suffixes."""
        if count not in self._ends:
            ends: dict[str, list[int]] = {}
            for index, parts in enumerate(self._paths):
                ends.setdefault("/".join(parts[-count:]), []).append(index)
            self._ends[count] = ends, _by_stem(ends)
        return self._ends[count]


def _by_stem(table):
    stems: dict[str, list[int]] = {}
    for path, indices in table.items():
        stem = os.path.splitext(path)[0]
        if stem != path:
            stems.setdefault(stem, []).extend(indices)
    return stems


def _parts(path):
    """A path's folders and file, in one form of Unicode, as macOS decomposes letters."""
    normalised = posixpath.normpath(unicodedata.normalize("NFC", path.replace("\\", "/")))
    return tuple(part for part in normalised.split("/") if part not in ("", ".", ".."))
