"""Reads zip archives that anyone may have made: every damage is one error."""

import os
import zipfile
from pathlib import Path
from types import TracebackType

from dim_tf.system.files import open_for_reading


class ZipDamaged(ValueError):
    """An archive or a member of it cannot be read."""


class ZipArchive:
    """The members of a zip archive.

    `zipfile` lets pass what zlib, lzma, struct and the decoders of names raise, beside its own
    errors for what is damaged, encrypted or of a later version. Here all of them are `ZipDamaged`.
    """

    def __init__(self, path: Path):
        """Opens an archive and reads its directory.

        Args:
            path: of the archive.

        Raises:
            OSError: the file cannot be opened, or is no regular file.
            ZipDamaged: it is no zip archive, or a broken one.
        """
        self._file = open_for_reading(path)
        try:
            self._archive = zipfile.ZipFile(self._file)
        except BaseException as error:
            self._file.close()
            if isinstance(error, Exception):
                raise ZipDamaged(_reason(error)) from error
            raise

    def names(self) -> list[str]:
        """The members that are no folders, in the archive's order."""
        return [name for name in self._archive.namelist() if not name.endswith("/")]

    def read(self, name: str, most: int) -> bytes:
        """A member's bytes, at most `most` + 1 of them; what more there is, is not unpacked.

        Raises:
            KeyError: there is none of this name.
            ZipDamaged: it is broken, encrypted, or compressed in a way that is not known.
        """
        member = self._archive.getinfo(name)
        try:
            with self._archive.open(member) as file:
                return file.read(most + 1)
        except Exception as error:
            raise ZipDamaged(_reason(error)) from error

    def read_stored(self, name: str) -> bytes:
        """The bytes of a member that is not compressed, and so no larger than the archive.

        Raises:
            KeyError: there is none of this name.
            ZipDamaged: it is broken, or compressed.
        """
        member = self._archive.getinfo(name)
        size = os.fstat(self._file.fileno()).st_size
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
            raise ZipDamaged(f"{name} is compressed, or larger than the archive")
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
