"""A version of an export to be passed on: complete, with its card, and of a known kind."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.export import verify
from dim_tf.system import locks
from dim_tf.system.errors import InputError
from dim_tf.system.files import is_hidden, read_text
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import read_json

CARD = "README.md"
ENCODER, CLASSIFIER, DETECTOR = "encoder", "classifier", "detector"
# What metadata.json must have to be passed on; a detector, which is not, may have less.
_TYPES = {"name": str, "license": str, "training_data": str, "signatures": dict}


@dataclass(frozen=True)
class WholeVersion:
    """A version that was compared with its SHA256SUMS.

    Attributes:
        path: Its folder, absolute.
        metadata: Content of assets/metadata.json.
        card: The text of README.md.
    """

    path: Path
    metadata: dict[str, Any]
    card: str

    @classmethod
    def read(cls, path: Path) -> "WholeVersion":
        """Reads a version.

        Raises:
            InputError: It is not a version, or is damaged.
        """
        for name in ("saved_model.pb", CARD):
            if not (path / name).is_file():
                raise InputError(
                    f"{path} has no {name}, so it is no version of an export; give one, as "
                    "exported/cifar10/1"
                )
        if mismatches := verify.differences(path):
            raise InputError(f"{path} is not as it was exported ({mismatches}); export it again")
        file = path / "assets" / "metadata.json"
        metadata = read_json(file, "export again")
        for name, expected in _TYPES.items():
            if "anomaly" not in metadata and not isinstance(metadata.get(name), expected):
                raise InputError(f"{file} has no {name!r}, as dim_tf writes it; export again")
        try:
            card = read_text(path / CARD)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path / CARD} cannot be read ({reason(error)}); export again"
            ) from error
        return cls(path.resolve(), metadata, card)

    @property
    def kind(self) -> str:
        """`ENCODER`, `CLASSIFIER` or `DETECTOR`."""
        if "anomaly" in self.metadata:
            return DETECTOR
        return CLASSIFIER if "probabilities" in self.metadata["signatures"] else ENCODER


def files_of(version: Path) -> list[tuple[str, Path]]:
    """The files to pass on, sorted by name: the name is the path in the version, with slashes.

    Hidden files, which SHA256SUMS may lack, are left out. A link to a file counts as that file.
    """
    paths = {path.relative_to(version).as_posix(): path for path in version.rglob("*")}
    names = sorted(name for name, path in paths.items() if path.is_file() and not is_hidden(name))
    return [(name, paths[name]) for name in names]


def check_outside(version: Path, folder: Path, flag: str) -> None:
    """Raises InputError for a folder inside a version, which may hold only its own files."""
    if version.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(f"{flag}={folder} is in {version} itself; give one elsewhere")


@contextlib.contextmanager
def locked_targets(
    version: Path, folder: Path, names: Iterable[str], flag: str
) -> Iterator[list[Path]]:
    """Locks a folder in which folders made from a version are to be written, and yields these.

    Args:
        version: The version; the folder must be outside.
        folder: Created if needed.
        names: Names of the folders in it.
        flag: The flag that gave the folder, for messages.

    Raises:
        InputError: The folder cannot be created, is in use, is in the version, or one of those in
            it holds files that `verify.write_sums` did not list. Nothing is written then.
    """
    check_outside(version, folder, flag)
    with locks.locked_folder(folder, flag):
        targets = [folder / name for name in names]
        for target in targets:
            verify.check_replaceable(target, flag)
        yield targets
