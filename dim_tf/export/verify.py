"""Compares the files of a published version with its SHA256SUMS.

    python -m dim_tf.export.verify exported/digits/2
    python -m dim_tf.export.verify exported/digits

The second command checks every version of the encoder. Neither needs TensorFlow. In a version's
folder, `sha256sum --check SHA256SUMS` also compares the files, but misses extra ones. The sums
reveal damage, not tampering: whoever can replace a file can also replace the sums.
"""

import argparse
import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dim_tf.export.version_folders import published_versions
from dim_tf.system import programs
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, is_hidden, is_inside, read_text, sha256_of

SUMS_FILE = "SHA256SUMS"
DIFFERENT = 1  # exit status
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_MAX_LISTED = 3  # files of each kind that an error lists


@dataclass(frozen=True)
class Differences:
    """How the files of a version differ from its SHA256SUMS; paths are relative to the version.

    Attributes:
        missing: Listed, but absent.
        changed: Listed, but with other content, or not a file.
        extra: Present, but not listed. Hidden files, which no loader reads, do not count.
    """

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.extra)

    def __str__(self) -> str:
        """The first paths of each kind, such as `changed: saved_model.pb`."""
        kinds = self.by_kind().items()
        return "; ".join(_first_names(kind, names) for kind, names in kinds if names)

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """The paths, by "missing", "changed" and "extra"."""
        return {"missing": self.missing, "changed": self.changed, "extra": self.extra}


def write_sums(version: Path) -> None:
    """Writes SHA256SUMS for all other files of a version, in the form of `sha256sum --check`.

    Args:
        version: Its folder, complete except for this file.
    """
    lines = (f"{sha256_of(version / name)}  {name}\n" for name in sorted(_files(version)))
    atomic_write_text(version / SUMS_FILE, "".join(lines))


def differences(version: Path) -> Differences:
    """Compares the files of a version with its SHA256SUMS.

    Raises:
        InputError: There is no valid SHA256SUMS, or a file cannot be read.
    """
    try:
        return _compare(version, _read_sums(version / SUMS_FILE))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error


def _compare(version, digests):
    missing, changed = [], []
    for name, digest in digests.items():
        path = version / name
        if not os.path.lexists(path):
            missing.append(name)
        elif not _is_file(path) or sha256_of(path) != digest:
            changed.append(name)
    visible = (name for name in _files(version) if not is_hidden(name))
    extra = sorted(set(visible) - digests.keys() - {SUMS_FILE})
    return Differences(tuple(missing), tuple(changed), tuple(extra))


def check(path: str, flag: str) -> None:
    """Checks a SavedModel before it is loaded, if it has a SHA256SUMS.

    Args:
        path: Folder of the SavedModel.
        flag: The flag that gave it, for messages.

    Raises:
        InputError: Its files differ from those that were published, or cannot be read.
    """
    if not os.path.lexists(Path(path, SUMS_FILE)):
        return
    if mismatches := differences(Path(path)):
        raise InputError(
            f"{flag}={path} is not as it was published ({mismatches}, by its {SUMS_FILE}); copy "
            "the whole folder again from where it was exported"
        )


def check_replaceable(folder: Path, flag: str) -> None:
    """Checks that a folder that is to be replaced holds what `write_sums` lists, or nothing.

    Args:
        folder: The folder; it need not exist.
        flag: The flag that names its parent folder, for the message.

    Raises:
        InputError: It is not a folder, or holds other files, including hidden ones.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink():
        if not any(folder.iterdir()):
            return
        with contextlib.suppress(InputError):
            has_hidden = any(is_hidden(name) for name in _files(folder))
            if not has_hidden and not differences(folder):
                return
    raise InputError(
        f"{folder} is not what this command wrote, and is not replaced; move it away, or give "
        f"another {flag}"
    )


def _first_names(kind, names):
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{kind}: {', '.join(names[:_MAX_LISTED])}{more}"


def _read_sums(path: Path) -> dict[str, str]:
    """The SHA-256 of each file in a SHA256SUMS, by path."""
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"there is no {path}: the folder is no version of an exported encoder, or was copied "
            "in part"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is no list of SHA-256 sums: {error}") from error
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        entry = _LINE.fullmatch(line)
        if not entry or not is_inside(entry[2]) or entry[2] in digests:
            raise InputError(
                f"line {number} of {path} is no SHA-256 sum, two spaces and the path of a file in "
                "the folder; copy the whole folder again from where it was exported"
            )
        digests[entry[2]] = entry[1].lower()
    if not digests:
        raise InputError(f"{path} is empty; copy the whole folder again")
    return digests


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _files(folder: Path) -> Iterator[str]:
    """The relative paths, with slashes, of everything except folders and SHA256SUMS itself."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in (*links, *names):
            path = Path(parent, name).relative_to(folder).as_posix()
            if path != SUMS_FILE:
                yield path


def _raise(error):
    raise error


def version_paths(folder: Path) -> list[Path]:
    """`folder` itself if it is a version, else the versions in it.

    Raises:
        InputError: There are none.
    """
    if (folder / SUMS_FILE).exists() or (folder / "saved_model.pb").exists():
        return [folder]
    paths = [folder / str(number) for number in published_versions(folder)]
    if not paths:
        raise InputError(
            f"{folder} is no version of an exported encoder and has none; give one, as "
            "exported/cifar10/1, or the folder of all, exported/cifar10"
        )
    return paths


def _verify(version: Path) -> int:
    """Prints how a version differs from its sums; returns the exit status."""
    try:
        mismatches = differences(version)
    except InputError as error:
        return programs.failed(error)
    if not mismatches:
        say(f"{version}: whole")
        return 0
    for kind, names in mismatches.by_kind().items():
        for name in names:
            say(f"{version / name}: {kind}")
    return DIFFERENT


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit status: 0 if every file is as it was published, 1 if a file is missing, changed or
        extra, 2 if a folder cannot be compared.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dim_tf.export.verify",
        description="Compares the files of exported encoders with their SHA256SUMS.",
        epilog="Exit status: 0, all is as it was published; 1, a file is missing, changed or "
        "extra; 2, a folder cannot be compared.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="a version, or the folder of several versions")
    folder = parser.parse_args(arguments).folder
    try:
        statuses = [_verify(version) for version in version_paths(folder)]
    except (InputError, OSError) as error:  # OSError also for the output, such as a closed pipe
        programs.failed(error)
        return programs.WRONG_INPUT
    return DIFFERENT if DIFFERENT in statuses else max(statuses)


if __name__ == "__main__":
    programs.run(main)
