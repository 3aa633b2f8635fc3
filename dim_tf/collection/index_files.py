"""The files of an index: index.json, the ids and the arrays, recorded by their SHA-256.

An index is written whole or not at all. Its files are named by their content, and index.json, which
is replaced last, says which of them belong to the index.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dim_tf.collection.inverted_lists import InvertedLists
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, sha256_of, temporary_path
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.json_files import json_with_checksum, read_json
from dim_tf.system.locks import locked_folder

MANIFEST = "index.json"
METRIC = "cosine"
_IDS = "ids"
_NAME = re.compile(r"[a-z_]+-[0-9a-f]{16}\.(npy|parquet)")
_CHECKED_ROWS = 2**16  # at once
_REMEDY = "build the index again"


@dataclass(frozen=True)
class IndexContents:
    """The contents of an index. Other attributes are those of `Index`.

    Attributes:
        units: float32 [N, D], rows of length 1, or of zeros; None: not kept.
        lists: Inverted lists for an approximate search; None: the search is exact.
    """

    ids: Sequence[str]
    units: np.ndarray | None
    lists: InvertedLists | None
    zero_rows: np.ndarray
    recall: float
    origin: str
    seed: int

    @property
    def dimension(self) -> int:
        """D, the number of numbers in a row."""
        return self._kept.shape[1] if self.lists is None else self.lists.dimension

    def unit_rows(self, numbers: np.ndarray) -> np.ndarray:
        """Some rows, float32 [n, D]; if they are not kept, as the lists give them."""
        if self.units is None and self.lists is not None:
            return self.lists.decode(numbers)
        return self._kept[numbers]

    @property
    def _kept(self) -> np.ndarray:
        assert self.units is not None  # else there are lists
        return self.units


def write(folder: Path, contents: IndexContents) -> None:
    """Writes an index and replaces an existing one.

    Raises:
        InputError: Another process writes there, or the folder cannot be written.
        RunError: A file cannot be written; the earlier index is unchanged.
    """
    arrays = {"zero_rows": contents.zero_rows}
    if contents.units is not None:
        arrays["units"] = contents.units
    if contents.lists is not None:
        arrays |= contents.lists.arrays()
    with (
        locked_folder(folder, "folder for the index"),
        translate_write_errors(
            f"the index in {folder}", folder, "one that was there is as it was; make room"
        ),
    ):
        files = {_IDS: _write_file(folder, _IDS, ".parquet", partial(_write_ids, contents.ids))}
        for name, array in arrays.items():
            save = partial(np.save, arr=array, allow_pickle=False)
            files[name] = _write_file(folder, name, ".npy", save)
        manifest = {
            "metric": METRIC,
            "rows": len(contents.ids),
            "probes": contents.lists.probes if contents.lists else 0,
            "recall": contents.recall,
            "origin": contents.origin,
            "seed": contents.seed,
            "files": files,
        }
        atomic_write_text(folder / MANIFEST, json_with_checksum(manifest))
        current = {_file_name(name, digest) for name, digest in files.items()}
        for path in folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in current:
                path.unlink()


def _write_file(folder: Path, name: str, suffix: str, save: Callable[[BinaryIO], None]) -> str:
    """Writes a file that is named by its content; returns its SHA-256."""
    temporary = temporary_path(folder / (name + suffix))
    try:
        with open(temporary, "xb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())
        digest = sha256_of(temporary)
        os.replace(temporary, folder / _file_name(name, digest))
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _file_name(name: str, digest: str) -> str:
    return f"{name}-{digest[:16]}.{'parquet' if name == _IDS else 'npy'}"


def _write_ids(ids: Sequence[str], file: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": pa.array(ids, pa.string())}), file)


def read(folder: Path) -> IndexContents:
    """Reads an index; its float32 rows are memory-mapped.

    Raises:
        InputError: There is no index, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} holds no index: it has no {MANIFEST}; {_REMEDY}")
    manifest = read_json(path, _REMEDY)
    try:
        _check_manifest(manifest)
    except ValueError as error:
        raise InputError(f"{path} describes no index ({error}); {_REMEDY}") from error
    paths = {}
    for name, digest in manifest["files"].items():
        paths[name] = folder / _file_name(name, digest)
        if not paths[name].is_file() or sha256_of(paths[name]) != digest:
            raise InputError(f"{paths[name]} is missing or not as it was written; {_REMEDY}")
    try:
        return _read_contents(manifest, paths)
    except Exception as error:  # of NumPy's, Parquet's and Arrow's readers
        raise InputError(f"{folder} holds no index ({reason(error)}); {_REMEDY}") from error


def _check_manifest(manifest: dict[str, Any]) -> None:
    kinds = {"metric": str, "rows": int, "probes": int, "recall": float, "origin": str}
    kinds |= {"seed": int, "files": dict}
    wrong = [name for name, kind in kinds.items() if type(manifest.get(name)) is not kind]
    if wrong:
        raise ValueError(f"{wrong[0]}: {manifest.get(wrong[0])!r}")
    if manifest["metric"] != METRIC or not 0 <= manifest["recall"] <= 1:
        raise ValueError(f"metric {manifest['metric']!r}, recall {manifest['recall']}")
    for name, digest in manifest["files"].items():
        is_digest = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
        if not is_digest or not _NAME.fullmatch(_file_name(name, digest)):
            raise ValueError(f"file {name!r}")
    if not {_IDS, "zero_rows"} <= manifest["files"].keys():
        raise ValueError("a file is missing")


def _read_contents(manifest: dict[str, Any], paths: dict[str, Path]) -> IndexContents:
    import pyarrow.parquet as pq

    ids = pq.read_table(paths.pop(_IDS))["id"].to_pylist()
    arrays = {
        name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in paths.items()
    }
    num_rows = manifest["rows"]
    zero_rows = np.array(arrays.pop("zero_rows"))
    units = arrays.pop("units", None)
    lists = InvertedLists.from_arrays(arrays, manifest["probes"]) if arrays else None
    if len(ids) != num_rows or not all(isinstance(image_id, str) for image_id in ids):
        raise ValueError("the ids are not those of its rows")
    if zero_rows.dtype != np.int64 or zero_rows.ndim != 1:
        raise ValueError("the numbers of zero rows have another form")
    if units is None and lists is None:
        raise ValueError("it has no rows")
    if units is not None and (units.dtype != np.float32 or units.ndim != 2):
        raise ValueError("the rows have another form")
    if units is not None and not _are_units(units):
        raise ValueError("the rows are not of length 1")
    if any(part is not None and len(part) != num_rows for part in (units, lists)):
        raise ValueError("the numbers of rows differ")
    if units is not None and lists is not None and units.shape[1] != lists.dimension:
        raise ValueError("the lengths of rows differ")
    return IndexContents(
        ids,
        None if units is None else np.asarray(units),
        lists,
        zero_rows,
        manifest["recall"],
        manifest["origin"],
        manifest["seed"],
    )


def _are_units(rows: np.ndarray) -> bool:
    """Whether all rows have the length 1 or 0; NaN has neither."""
    for first in range(0, len(rows), _CHECKED_ROWS):
        block = rows[first : first + _CHECKED_ROWS]
        squares = np.einsum("nd,nd->n", block, block)
        if not ((abs(squares - 1) < 1e-3) | (squares == 0)).all():
            return False
    return True
