"""Finds the folder on this machine of an encoder that a zoo names."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from dim_tf.export import verify
from dim_tf.system import locks, user_cache
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import (
    atomic_replace_folder,
    make_folder,
    open_for_reading,
    remove_temporary_files,
    sha256_of,
    temporary_path,
)
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.zoo import PREFIX, archives
from dim_tf.zoo.index import ARCHIVE, Entry, Zoo, download, is_url, locate

FOLDER = "zoo"  # in the user's cache
INDEXES = "indexes"  # in that; a folder of its own, as they are written without its lock
_PIECE = 2**20  # bytes


def resolve(name: str, root: str = "") -> Path:
    """The folder of an encoder in a zoo.

    An encoder that the zoo has as a folder is used in place. An archive is downloaded or read,
    compared with the SHA-256 in the index, and unpacked once into the user's cache; again, if its
    files there are no longer complete. Without a network, the last downloaded index is used.

    Args:
        name: The name, with or without "zoo:".
        root: The zoo; empty: see `Zoo.read`.

    Returns:
        The folder of a version. One of a zoo in the file system is not yet compared with its
        SHA256SUMS; whatever loads the encoder compares it.

    Raises:
        InputError: The zoo or the encoder does not exist, cannot be read, or has another SHA-256.
        RunError: The disk is full.
    """
    name = name.removeprefix(PREFIX)
    cache = user_cache.folder() / FOLDER
    zoo = Zoo.read(root, cache / INDEXES)
    entry = zoo[name]
    where = locate(zoo.root, entry.url)
    if not where.endswith(ARCHIVE):
        if not is_url(where):
            return _checked_folder(Path(where), entry)
        raise InputError(
            f"zoo:{name}: {where} is no archive, and a zoo on a server has no folders; "
            "python -m dim_tf.zoo add packs a version"
        )
    target = cache / f"{name}-{entry.sha256[:16]}"
    if not _is_whole(target):
        _fetch(where, entry, target)
    return target


def _is_whole(folder: Path) -> bool:
    try:
        return not verify.differences(folder)
    except InputError:  # it is not there, or its sums are not
        return False


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
    folder = target.parent
    make_folder(folder, "XDG_CACHE_HOME")
    advice = "make room, or give another cache folder by XDG_CACHE_HOME"

    def say_why():
        say(f"zoo:{entry.name}: waits for another process, which fills {folder}")

    with (
        translate_write_errors(str(target), folder, advice),
        locks.locked_file(folder / locks.LOCK_FILE, on_wait=say_why),
    ):
        remove_temporary_files(folder)
        if _is_whole(target):  # filled by that process
            return
        archive = temporary_path(folder / f"{target.name}{ARCHIVE}")
        try:
            _copy(where, entry, archive)
            with atomic_replace_folder(target) as unpacked:
                _unpack(where, entry, archive, unpacked)
        finally:
            archive.unlink(missing_ok=True)


def _copy(where: str, entry: Entry, archive: Path) -> None:
    digest = hashlib.sha256()
    with open(archive, "xb") as file:
        for piece in _pieces(where):
            digest.update(piece)
            file.write(piece)
    _compare(digest.hexdigest(), entry, where)


def _unpack(where: str, entry: Entry, archive: Path, folder: Path) -> None:
    """Unpacks an archive, which must contain a version.

    Raises:
        InputError: It does not.
    """
    try:
        archives.unpack(archive, folder)
        if not (folder / "saved_model.pb").is_file():
            raise InputError("it has no saved_model.pb, so it is no version of an exported encoder")
        if mismatches := verify.differences(folder):
            raise InputError(f"its files differ from its {verify.SUMS_FILE} ({mismatches})")
    except InputError as error:
        raise InputError(f"zoo:{entry.name}: {where} is refused: {error}") from error


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
            "says: it is damaged, or another file, and is not used. Ask whoever keeps the zoo"
        )
