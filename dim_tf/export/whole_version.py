"""A version of an export to be passed on: complete, with its card, and of a known kind."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.export import verify
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import read_json

CARD = "README.md"
ENCODER, CLASSIFIER, DETECTOR = "encoder", "classifier", "detector"


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
        metadata = read_json(path / "assets" / "metadata.json", "export again")
        return cls(path.resolve(), metadata, (path / CARD).read_text(encoding="utf-8"))

    @property
    def kind(self) -> str:
        """`ENCODER`, `CLASSIFIER` or `DETECTOR`."""
        if "anomaly" in self.metadata:
            return DETECTOR
        return CLASSIFIER if "probabilities" in self.metadata["signatures"] else ENCODER

    def check_outside(self, folder: Path, flag: str) -> None:
        """Raises InputError for a folder inside the version, which may hold only its own files."""
        if self.path in (folder.resolve(), *folder.resolve().parents):
            raise InputError(f"{flag}={folder} is in {self.path} itself; give one elsewhere")
