"""The versions of an exported model: numbered folders, as TensorFlow Serving expects.

A version appears whole, by a rename, or not at all.
"""

import contextlib
import errno
import itertools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import filelock

from dim_tf.system.errors import InputError

GRACE_SECONDS = 600  # in which a reader may finish loading a version that was replaced


def published_versions(folder: Path) -> list[int]:
    """The version numbers in exported/<name>, ascending.

    Args:
        folder: exported/<name>; it need not exist.
    """
    return sorted(int(child.name) for child in folder.glob("*") if child.name.isdecimal())


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A new hidden folder in `folder`, removed at the end, as are those of killed processes.

    If `folder` is new and stays empty, it is removed too.

    Raises:
        InputError: The folder cannot be created.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Locked, so that no process removes a folder before another process has locked it.
        with _locked(folder) as is_locked:
            for abandoned in folder.glob(".unpublished-*") if is_locked else ():
                with _locked(abandoned, wait=False) as is_unused:
                    if is_unused:
                        shutil.rmtree(abandoned, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix=".unpublished-", dir=folder))
            staging_lock = contextlib.ExitStack()
            staging_lock.enter_context(_locked(staging))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); give another --export_dir"
        ) from error
    with staging_lock:
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if is_new:
                with contextlib.suppress(OSError):  # it is not empty
                    folder.rmdir()


@contextlib.contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Yields whether the folder could be locked; the lock ends with the context or the process."""
    if os.name == "nt":  # Windows opens no folders
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            is_locked = filelock.lock_descriptor(descriptor, blocking=wait)
        except OSError:  # the file system does not lock folders
            is_locked = False
        yield is_locked
    finally:
        os.close(descriptor)


def rename_to_next(staging: Path, folder: Path) -> Path:
    """Renames a folder to the next version's number, even while another run does the same."""
    while True:
        target = folder / str(max(published_versions(folder), default=0) + 1)
        try:
            os.rename(staging, target)
            return target
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def remove_old_versions(folder: Path, keep: int) -> None:
    """Removes all versions but the newest, except those that a reader may still be loading.

    Args:
        folder: exported/<name>.
        keep: Number of newest versions that are kept; 0: all.

    Raises:
        OSError: A version cannot be renamed and stays as it is; the rest were removed.
    """
    if not keep:
        return
    pairs = list(itertools.pairwise(published_versions(folder)))
    errors = []
    for version, successor in pairs[: max(0, len(pairs) + 1 - keep)]:
        try:
            replaced = (folder / str(successor)).stat().st_ctime
            if time.time() - replaced >= GRACE_SECONDS:
                # Renamed first, so that nobody sees half a version. The name is unique, because a
                # stopped run may have left a folder for the same number.
                removed = folder / f".removed-{version}-{uuid.uuid4().hex}"
                os.rename(folder / str(version), removed)
        except FileNotFoundError:  # another run may do the same
            pass
        except OSError as error:
            errors.append(error)
    for removed in folder.glob(".removed-*"):  # also those that a stopped run left half deleted
        _delete(removed)
    if errors:
        raise errors[0]


def _delete(path: Path) -> None:
    """Deletes a folder, or a file in its place; whatever cannot be deleted stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
