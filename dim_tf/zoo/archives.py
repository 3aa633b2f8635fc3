"""Archives, .tar.gz, of one version of an export: packed the same each time, unpacked safely."""

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path

from dim_tf.export.whole_version import files_of
from dim_tf.system.errors import InputError
from dim_tf.system.files import is_inside
from dim_tf.system.source_date import source_date_epoch

MAX_BYTES = 2**34  # of an archive, and of what it unpacks to
MAX_FILES = 10_000
MAX_HEADER_BYTES = 2**20  # of a member that is no file, which tarfile reads into memory


class _Member(tarfile.TarInfo):
    """A member that is not a file, such as a long name or a pax header, must be small."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        member = super().frombuf(buf, encoding, errors)
        if not member.isreg() and member.size > MAX_HEADER_BYTES:
            raise InputError(f"it has a header of {member.size:,} bytes")
        return member


def pack(folder: Path, archive: Path) -> None:
    """Packs the files of a version, except hidden ones; links are packed as files.

    The same files give the same bytes: order, owners and rights are fixed, and the time is
    $SOURCE_DATE_EPOCH or 0.

    Args:
        folder: Folder of the version.
        archive: Path of the new file.

    Raises:
        InputError: A file's name or size is more than the format takes.
    """
    seconds = source_date_epoch() or 0
    with (
        open(archive, "xb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=seconds) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, path in files_of(folder):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = path.stat().st_size, seconds, 0o644
            try:
                member.tobuf(tar.format)
            except ValueError as error:  # the name is too long, or the file has 8 GiB
                raise InputError(f"{path} cannot be packed: {error}") from error
            with open(path, "rb") as content:
                tar.addfile(member, content)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks the regular files of an archive that may come from a stranger.

    Nothing is written outside the folder. The whole archive is refused if a member is neither a
    file nor a folder (such as a link), if a name leaves the folder, or if the archive has more than
    `MAX_BYTES` or `MAX_FILES`, or a header of more than `MAX_HEADER_BYTES`.

    Args:
        archive: A .tar.gz file.
        folder: An existing empty folder.

    Raises:
        InputError: The archive is damaged or refused.
        OSError: A file cannot be written.
    """
    unpacked = 0
    try:
        with tarfile.open(archive, "r:gz", tarinfo=_Member) as tar:
            for count, member in enumerate(tar, 1):
                unpacked += member.size
                if count > MAX_FILES or unpacked > MAX_BYTES:
                    raise InputError(
                        f"it has more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes unpacked"
                    )
                name = member.name.removeprefix("./")
                if member.isdir() and (name in ("", ".") or is_inside(name)):
                    continue
                if not member.isreg() or not is_inside(name):
                    raise InputError(f"{member.name!r} is no file inside it")
                _write(tar, member, folder / name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise InputError(f"it is no whole .tar.gz ({error})") from error


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise InputError(f"{member.name!r} has no content")
    try:
        os.makedirs(path.parent, exist_ok=True)
        with content, open(path, "xb") as file:
            shutil.copyfileobj(content, file)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{member.name!r} is in it twice, or as a file and a folder") from error
