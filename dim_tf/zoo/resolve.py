"""From the name of an encoder in a zoo to its folder on this machine."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dim_tf.export import verify
from dim_tf.system import user_cache
from dim_tf.system.errors import InputError
from dim_tf.system.files import make_folder, open_for_reading, sha256_of, temporary_path
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.zoo import archives
from dim_tf.zoo.index import ARCHIVE, Entry, Zoo, download, is_url, locate

PREFIX = "zoo:"
FOLDER = "zoo"  # in the user's cache
_PIECE = 2**20  # bytes


def resolve(name: str, root: str = "") -> Path:
    """The folder of an encoder of a zoo.

    One that the zoo has as a folder is used where it is. An archive is downloaded or read, compared
    with the index's SHA-256, and unpacked into the user's cache, once.

    Args:
        name: with or without "zoo:".
        root: of the zoo; empty: see `Zoo.read`.

    Returns:
        The folder of a version, whose SHA256SUMS is not yet compared with its files; what loads
        the encoder compares them.

    Raises:
        InputError: there is no such zoo or encoder, it cannot be had, or its SHA-256 is another.
        RunError: the disk is full.
    """
    name = name.removeprefix(PREFIX)
    zoo = Zoo.read(root)
    entry = zoo[name]
    where = locate(zoo.root, entry.url)
    if not is_url(where) and not where.endswith(ARCHIVE):
        return _checked_folder(Path(where), entry)
    target = user_cache.folder() / FOLDER / f"{name}-{entry.sha256[:16]}"
    if not target.is_dir():
        _fetch(where, entry, target)
    return target


def _checked_folder(folder: Path, entry: Entry) -> Path:
    try:
        digest = sha256_of(folder / verify.SUMS_FILE)
    except OSError as error:
        raise InputError(
            f"zoo:{entry.name}: {error.filename} cannot be read ({error.strerror}); it must be a "
            "version of an exported encoder"
        ) from error
    _compare(digest, entry, f"{folder / verify.SUMS_FILE}")
    return folder


def _fetch(where: str, entry: Entry, target: Path) -> None:
    """Unpacks an archive to a folder that appears whole, or not at all."""
    make_folder(target.parent, "XDG_CACHE_HOME")
    staging = temporary_path(target)
    archive = staging / "archive"
    advice = "make room, or give another cache folder, as XDG_CACHE_HOME"
    try:
        with translate_write_errors(str(target), target.parent, advice):
            staging.mkdir()
            digest = hashlib.sha256()
            with open(archive, "xb") as file:
                for piece in _pieces(where):
                    digest.update(piece)
                    file.write(piece)
        _compare(digest.hexdigest(), entry, where)
        unpacked = staging / "version"
        try:
            with translate_write_errors(str(target), target.parent, advice):
                unpacked.mkdir()
                archives.unpack(archive, unpacked)
        except InputError as error:
            raise InputError(f"zoo:{entry.name}: {where} is refused: {error}") from error
        if not (unpacked / "saved_model.pb").is_file():
            raise InputError(
                f"zoo:{entry.name}: {where} is refused: it has no saved_model.pb, so it is no "
                "version of an exported encoder"
            )
        if mismatches := verify.differences(unpacked):
            raise InputError(
                f"zoo:{entry.name}: {where} is refused: its files differ from its "
                f"{verify.SUMS_FILE} ({mismatches})"
            )
        with translate_write_errors(str(target), target.parent, advice):
            _rename(unpacked, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _rename(folder: Path, target: Path) -> None:
    try:
        os.rename(folder, target)
    except OSError:
        if not target.is_dir():  # else another process has just done the same
            raise


def _pieces(where: str) -> Iterator[bytes]:
    if is_url(where):
        yield from download(where, archives.MAX_BYTES)
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_for_reading(Path(where)))
        except OSError as error:
            raise InputError(f"{where} cannot be read ({error.strerror})") from error
        while piece := file.read(_PIECE):
            yield piece


def _compare(digest: str, entry: Entry, where: str) -> None:
    if digest != entry.sha256:
        raise InputError(
            f"zoo:{entry.name}: {where} has the SHA-256 {digest}, not {entry.sha256} as the index "
            "says: it is damaged, or another file; nothing was kept. Ask whoever keeps the zoo"
        )
