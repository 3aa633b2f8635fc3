"""Who works on what, told by files in a folder that several machines may share.

A claim on NAME is the file NAME.claimN with the highest N. It is never removed: who takes over
makes the next one, which only one process can, as a file is created by one alone. It is whole when
it appears. A holder shows that it lives by the file's time, and on its own machine by a lock on the
file, which ends with the process and with those that it started, however they end.
"""

import contextlib
import json
import os
import platform
import time
import uuid
from pathlib import Path

import filelock

from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, open_regular_file, read_text, temporary_path
from dim_tf.system.json_files import parse_json_object
from dim_tf.system.locks import is_locked

STALE_SECONDS = 600.0
BEAT_SECONDS = 15.0


class ClaimLost(Exception):
    """Another process has taken over, as this one seemed dead."""


class Claim:
    """A claim that this process holds.

    Attributes:
        descriptor: of its file, for a process that is to hold it too.
    """

    def __init__(self, path: Path, successor: Path, descriptor: int):
        self._path = path
        self._successor = successor
        self._beaten = time.monotonic()
        self.descriptor = descriptor

    def beat(self) -> bool:
        """Says that the holder is alive, if it is time to; returns whether it was.

        Raises:
            ClaimLost: another process took over.
        """
        if time.monotonic() - self._beaten < BEAT_SECONDS:
            return False
        self._beaten = time.monotonic()
        if self._successor.exists():
            raise ClaimLost(f"{self._path} was taken over")
        os.utime(self._path, follow_symlinks=False)
        return True

    def release(self) -> None:
        """Lets others take it at once."""
        if not self._successor.exists():
            atomic_write_text(self._path, json.dumps({"released": True}))
        os.close(self.descriptor)


class Claims:
    """The claims in a folder.

    Args:
        folder: is made.
        stale_seconds: after which another machine's holder counts as dead; its clock is not asked.
    """

    def __init__(self, folder: Path, stale_seconds: float = STALE_SECONDS):
        self._folder = folder
        self._stale_seconds = stale_seconds

    def take(self, name: str) -> Claim | None:
        """Takes what nobody holds; None where somebody does, or was quicker.

        Raises:
            InputError: a claim is no file, or cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        last = self._last(name)
        if last and not self._is_free(self._path(name, last)):
            return None
        path = self._path(name, last + 1)
        try:
            descriptor = _made(path)
        except FileExistsError:
            return None
        return Claim(path, self._path(name, last + 2), descriptor)

    def is_held(self, name: str) -> bool:
        """Whether a living process holds it.

        Raises:
            InputError: a claim is no file, or cannot be read.
        """
        last = self._last(name)
        return bool(last) and not self._is_free(self._path(name, last))

    def _path(self, name: str, generation: int) -> Path:
        return self._folder / f"{name}.claim{generation}"

    def _last(self, name: str) -> int:
        """The highest generation; 0: none yet."""
        begin = f"{name}.claim"
        found = self._folder.glob("*") if self._folder.is_dir() else ()
        numbers = [p.name[len(begin) :] for p in found if p.name.startswith(begin)]
        return max(
            (int(number) for number in numbers if number.isascii() and number.isdecimal()),
            default=0,
        )

    def _is_free(self, path: Path) -> bool:
        try:
            told = parse_json_object(read_text(path))
            machine = told.get("machine")
            if told.get("released") is True:
                return True
        except ValueError:  # damaged; what this version writes is whole when it appears
            machine = this_machine()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}), so that nobody knows who holds its "
                "row; remove it"
            ) from error
        if machine is not None and machine == this_machine():
            return not _is_locked(path)
        return self._age(path) > self._stale_seconds

    def _age(self, path: Path) -> float:
        """Seconds since its holder's last beat, by the clock of the folder's file system."""
        now = self._folder / f".now-{uuid.uuid4().hex}"
        now.touch()
        try:
            return now.stat().st_mtime - path.stat().st_mtime
        finally:
            now.unlink()


def this_machine() -> str | None:
    """This machine since its last start; None where the system does not tell."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return f"{platform.node()} {start}"


def _made(path: Path) -> int:
    """Makes a claim, locked, with who holds it.

    Returns:
        Its descriptor.

    Raises:
        FileExistsError: another process has made it.
    """
    hidden = temporary_path(path)
    descriptor = open_regular_file(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        machine = None  # on a file system without locks only the file's time tells
        with contextlib.suppress(OSError):
            filelock.lock_descriptor(descriptor, blocking=False)  # nobody else has opened it
            machine = this_machine()
        told = {"machine": machine, "host": platform.node(), "process": os.getpid()}
        os.write(descriptor, json.dumps(told).encode())
        _appear(hidden, path)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        hidden.unlink(missing_ok=True)
    return descriptor


def _appear(hidden: Path, path: Path) -> None:
    try:
        os.link(hidden, path)  # unlike renaming, it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "xb"):
            os.replace(hidden, path)


def _is_locked(path: Path) -> bool:
    try:
        return is_locked(path)
    except FileNotFoundError:
        return False
