"""The results of a stage as files: tables and a page, and a summary with their checksums."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dim_tf.system.files import sha256_of, temporary_path
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.json_files import json_with_checksum


def write_result_files(
    folder: Path,
    texts: Mapping[str, str],
    summary_file: str,
    summary: Mapping[str, Any],
    optional_files: Iterable[str] = (),
) -> None:
    """Writes all files of a stage into a folder, whole or not at all.

    All files are written under other names first. The summary, which has the others' checksums,
    goes first and comes last: where it is, the files are whole and of one call.

    Args:
        folder: Exists; files of these names are replaced, no others are touched.
        texts: Of the files, by their names.
        summary_file: Name of the summary.
        summary: A JSON object; the entry `files` with the checksums is added.
        optional_files: Names of files that other calls write; those without a text are removed.

    Raises:
        RunError: A file cannot be written.
    """
    temporary = {name: temporary_path(folder / name) for name in (*texts, summary_file)}
    with translate_write_errors(f"the results in {folder}", folder, "make room, and run again"):
        try:
            for name, text in texts.items():
                _write(temporary[name], text)
            digests = {name: sha256_of(temporary[name]) for name in texts}
            _write(temporary[summary_file], json_with_checksum({**summary, "files": digests}))
            (folder / summary_file).unlink(missing_ok=True)
            for name in optional_files:
                if name not in texts:
                    (folder / name).unlink(missing_ok=True)
            for name, path in temporary.items():
                os.replace(path, folder / name)
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)


def _write(path, text):
    # A file's name on Linux may be no UTF-8; it is written as it is.
    with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
