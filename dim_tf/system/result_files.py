"""The results of a stage as files: tables, a page, and a summary with their checksums."""

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
    """Writes all files of a stage into a folder; if the summary exists, they are complete.

    Everything is first written under temporary names, so that a failed write leaves the folder
    unchanged. Then the earlier summary is removed, the files are renamed, and the new summary,
    which has their checksums, is renamed last. So a folder with a summary has all files, and all of
    them from the same call.

    Args:
        folder: An existing folder; files with these names are replaced, no others.
        texts: Texts of all files but the summary, by name.
        summary_file: Name of the summary.
        summary: A JSON object; the entry `files`, with the checksums, is added to it.
        optional_files: Names of files that not every call writes. A file from an earlier call is
            removed if it has no text in this one.

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
    # Texts contain names of files, which on Linux need not be UTF-8; their bytes are kept.
    with open(path, "x", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
