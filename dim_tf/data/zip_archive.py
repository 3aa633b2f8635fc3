"""Reads zip archives that anyone may have written: any damage raises the same error."""

import os
import zipfile
from pathlib import Path
from types import TracebackType

from dim_tf.system.files import open_for_reading


class DamagedZipError(ValueError):
    """An archive or one of its members cannot be read."""


class ZipArchive:
    """The members of a zip archive.

    Besides its own errors for damaged, encrypted or newer archives, `zipfile` passes on errors of
    zlib, lzma, struct and the decoding of names. Here all of them are `DamagedZipError`.
    """

    def __init__(self, path: Path):
        """Opens an archive and reads its directory.

        Args:
            path: Path of the archive.

        Raises:
            OSError: The file cannot be opened, or is not a regular file.
            DamagedZipError: It is not a zip archive, or is broken.
        """
        self._file = open_for_reading(path)
        try:
            self._archive = zipfile.ZipFile(self._file)
        except BaseException as error:
            self._file.close()
            if isinstance(error, Exception):
                raise DamagedZipError(_reason(error)) from error
            raise

    def names(self) -> list[str]:
        """The members that are files, in the archive's order."""
        return [name for name in self._archive.namelist() if not name.endswith("/")]

    def read(self, name: str, max_bytes: int) -> bytes:
        """The bytes of a member, at most `max_bytes` + 1: the rest is not unpacked.

        Raises:
            KeyError: There is no such member.
            DamagedZipError: It is broken, encrypted, or compressed by an unknown method.
        """
        member = self._archive.getinfo(name)
        try:
            with self._archive.open(member) as file:
                return file.read(max_bytes + 1)
        except Exception as error:
            raise DamagedZipError(_reason(error)) from error

    def read_stored(self, name: str) -> bytes:
        """The bytes of an uncompressed member, which is no larger than the archive.

        Raises:
            KeyError: There is no such member.
            DamagedZipError: It is broken, or compressed.
        """
        member = self._archive.getinfo(name)
        size = os.fstat(self._file.fileno()).st_size
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
            raise DamagedZipError(f"{name} is compressed, or larger than the archive")
        return self.read(name, member.file_size)

    def close(self) -> None:
        """Closes the file; nothing can be read afterwards."""
        self._archive.close()
        self._file.close()

    def __enter__(self) -> "ZipArchive":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _reason(error):
    return f"{type(error).__name__}: {error}"[:120]
