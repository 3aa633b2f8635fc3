"""Adds a version of an export to a zoo's folder."""

import json
import shutil
from pathlib import Path

from dim_tf.export import verify
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_replace, atomic_write_text, make_folder, sha256_of
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.zoo import archives
from dim_tf.zoo.index import ARCHIVE, FILE, FORMAT, Entry, Zoo, check_name, entry_of


def add(version: Path, folder: Path, name: str = "") -> Entry:
    """Packs a version into a zoo, and writes or extends its index.

    Args:
        version: as exported/digits/2.
        folder: of the zoo; need not exist.
        name: of the encoder there; empty: that of the export, "digits".

    Returns:
        The entry. One of that name is replaced; its archive stays.

    Raises:
        InputError: the version is damaged, the name is none, or the folder cannot be written.
        RunError: the disk is full.
    """
    version = version.resolve()
    if mismatches := verify.differences(version):
        raise InputError(f"{version} is not as it was exported ({mismatches}); export it again")
    name = name or version.parent.name
    try:
        check_name(name)
    except ValueError as error:
        raise InputError(f"{error}; give another --name") from error
    stem = f"{name}-{version.name}"
    make_folder(folder, "FOLDER")
    zoo = Zoo.read(str(folder)) if (folder / FILE).exists() else Zoo(str(folder), {})
    with translate_write_errors(str(folder), folder, "run the command again"):
        archive = folder / f"{stem}{ARCHIVE}"
        with atomic_replace(archive) as temporary:
            archives.pack(version, temporary)
        card = folder / f"{stem}.md"
        with atomic_replace(card) as temporary:
            shutil.copyfile(version / "README.md", temporary)
        fields = {"url": archive.name, "sha256": sha256_of(archive), "card": card.name}
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
