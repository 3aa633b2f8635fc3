"""Which process runs which row: leases, as files in a folder that several machines may share.

The lease on NAME is the file NAME.leaseN with the highest N. It is never removed: a successor
creates the next one, which only one process can do, and its content is complete when it appears. On
one machine, the lease lasts as long as a lock on the file (`filelock`), which ends with the last
process that inherited it, however that ends. For other machines, the holder renews the time of the
file.

We do not use `filelock.SoftFileLease`, because it does not fit: it ends with the process that
acquired it, while a row's own process may still be saving; and a new process has to watch a stale
lease for its whole duration before it may take over.
"""

import contextlib
import json
import os
import platform
import time
import uuid
from pathlib import Path

import filelock

from dim_tf.system import locks
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, open_regular_file, read_text, temporary_path
from dim_tf.system.json_files import parse_json_object

EXPIRY_SECONDS = 600.0
RENEWAL_SECONDS = 15.0


class LeaseLost(Exception):
    """Another process has taken over, because this one seemed dead."""


class Lease:
    """A lease that this process holds.

    Attributes:
        descriptor: Descriptor of its file; a child process that inherits it also holds the lease.
    """

    def __init__(self, path: Path, successor: Path, descriptor: int):
        self._path = path
        self._successor = successor
        self._renewed = time.monotonic()
        self.descriptor = descriptor

    def renew(self) -> bool:
        """Renews the lease if `RENEWAL_SECONDS` have passed; returns whether it did.

        Raises:
            LeaseLost: Another process took over.
        """
        if time.monotonic() - self._renewed < RENEWAL_SECONDS:
            return False
        self._renewed = time.monotonic()
        if self._successor.exists():
            raise LeaseLost(f"{self._path} was taken over")
        os.utime(self._path, follow_symlinks=False)
        return True

    def release(self) -> None:
        """Ends the lease, so that another process can acquire it at once."""
        if not self._successor.exists():
            atomic_write_text(self._path, json.dumps({"released": True}))
        os.close(self.descriptor)


class LeaseFolder:
    """The leases in a folder.

    Args:
        folder: The folder; it is created.
        expiry_seconds: Time after which another machine's lease ends if it is not renewed, by the
            clock of the folder's file system.
    """

    def __init__(self, folder: Path, expiry_seconds: float = EXPIRY_SECONDS):
        self._folder = folder
        self._expiry_seconds = expiry_seconds

    def acquire(self, name: str) -> Lease | None:
        """Acquires the lease on a name; None if a living process holds it or was quicker.

        Raises:
            InputError: A lease is not a regular file, or cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        last = self._last_generation(name)
        if last and not self._has_ended(self._path(name, last)):
            return None
        path = self._path(name, last + 1)
        try:
            descriptor = _create_locked(path)
        except FileExistsError:
            return None
        return Lease(path, self._path(name, last + 2), descriptor)

    def is_held(self, name: str) -> bool:
        """Whether a living process holds the lease on a name.

        Raises:
            InputError: A lease is not a regular file, or cannot be read.
        """
        last = self._last_generation(name)
        return bool(last) and not self._has_ended(self._path(name, last))

    def _path(self, name: str, generation: int) -> Path:
        return self._folder / f"{name}.lease{generation}"

    def _last_generation(self, name: str) -> int:
        """The highest number among the files of a lease; 0 if there are none."""
        prefix = f"{name}.lease"
        paths = self._folder.glob("*") if self._folder.is_dir() else ()
        numbers = [p.name[len(prefix) :] for p in paths if p.name.startswith(prefix)]
        return max(
            (int(number) for number in numbers if number.isascii() and number.isdecimal()),
            default=0,
        )

    def _has_ended(self, path: Path) -> bool:
        try:
            holder = parse_json_object(read_text(path))
            machine = holder.get("machine")
            if holder.get("released") is True:
                return True
        except ValueError:  # damaged; a lease is complete when it appears
            machine = machine_id()
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}), so that nobody knows who holds its "
                "row; remove it"
            ) from error
        if machine is not None and machine == machine_id():
            return not _is_locked(path)
        return self._age(path) > self._expiry_seconds

    def _age(self, path: Path) -> float:
        """Seconds since the last renewal, by the clock of the folder's file system."""
        now = self._folder / f".now-{uuid.uuid4().hex}"
        now.touch()
        try:
            return now.stat().st_mtime - path.stat().st_mtime
        finally:
            now.unlink()


def machine_id() -> str | None:
    """Identifies this machine until its next boot; None if the system has no boot ID."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return f"{platform.node()} {boot}"


def _create_locked(path: Path) -> int:
    """Creates and locks a lease that names its holder.

    Returns:
        Its descriptor.

    Raises:
        FileExistsError: Another process has created it.
    """
    hidden = temporary_path(path)
    descriptor = open_regular_file(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        machine = None  # on a file system without locks only the file's time counts
        with contextlib.suppress(OSError):
            filelock.lock_descriptor(descriptor, blocking=False)  # nobody else has opened it
            machine = machine_id()
        holder = {"machine": machine, "host": platform.node(), "process": os.getpid()}
        os.write(descriptor, json.dumps(holder).encode())
        _publish(hidden, path)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        hidden.unlink(missing_ok=True)
    return descriptor


def _publish(hidden: Path, path: Path) -> None:
    try:
        os.link(hidden, path)  # unlike renaming, it replaces nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "xb"):
            os.replace(hidden, path)


def _is_locked(path: Path) -> bool:
    try:
        return locks.is_locked(path)
    except FileNotFoundError:
        return False
