"""Adds a version of an export to a zoo's folder."""

import json
import os
from pathlib import Path

from dim_tf.export.whole_version import ENCODER, WholeVersion, check_outside
from dim_tf.system import locks
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, sha256_of, temporary_path
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.zoo import archives
from dim_tf.zoo.index import ARCHIVE, FILE, FORMAT, Entry, Zoo, check_name, entry_of, is_url


def add(version: Path, folder: Path, name: str = "") -> Entry:
    """Packs a version into a zoo, and creates or extends the zoo's index.

    Args:
        version: Folder such as exported/digits/2.
        folder: Folder of the zoo; it need not exist.
        name: Name of the encoder in the zoo; empty: that of the export, "digits".

    Returns:
        The entry. An entry of the same name is replaced; its archive stays.

    Raises:
        InputError: The version is damaged or not an encoder, the name is not valid, or the folder
            is in use or cannot be written.
        RunError: The disk is full.
    """
    whole = WholeVersion.read(version)
    if whole.kind != ENCODER:
        raise InputError(f"{version} is a {whole.kind}; a zoo has encoders")
    if is_url(str(folder)):
        raise InputError(
            f"FOLDER={folder} is a URL; add to a folder of this machine, and copy it to the server"
        )
    check_outside(whole.path, folder, "FOLDER")
    name = name or whole.path.parent.name
    try:
        check_name(name)
    except ValueError as error:
        raise InputError(f"{error}; give another --name") from error
    with (
        locks.locked_folder(folder, "FOLDER"),
        translate_write_errors(str(folder), folder, "run the command again"),
    ):
        zoo = Zoo.read(str(folder)) if (folder / FILE).exists() else Zoo(str(folder), {})
        packed = temporary_path(folder / name)
        try:
            archives.pack(whole.path, packed)
            sha256 = sha256_of(packed)
            # Named by content, so that no archive is overwritten that an index still names.
            stem = f"{name}-{whole.path.name}-{sha256[:8]}"
            os.replace(packed, folder / f"{stem}{ARCHIVE}")
        finally:
            packed.unlink(missing_ok=True)
        atomic_write_text(folder / f"{stem}.md", whole.card)
        fields = {"url": f"{stem}{ARCHIVE}", "sha256": sha256, "card": f"{stem}.md"}
        entry = entry_of(name, fields)
        _write_index(folder, {**zoo.entries, name: entry})
    return entry


def _write_index(folder: Path, entries: dict[str, Entry]) -> None:
    models = {
        entry.name: {"url": entry.url, "sha256": entry.sha256, "card": entry.card}
        for entry in sorted(entries.values(), key=lambda entry: entry.name)
    }
    text = json.dumps({"format": FORMAT, "models": models}, indent=2) + "\n"
    atomic_write_text(folder / FILE, text)
