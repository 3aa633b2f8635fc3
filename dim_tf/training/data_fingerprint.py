"""Fingerprints of the images and labels of a run's start, because copies of a data set differ.

A run continues on other data, because a folder may change, and says so.
"""

import re
from pathlib import Path
from typing import NamedTuple

from dim_tf.data.splits import Splits
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, read_text

FILE = "images.txt"  # in the run folder: the fingerprints, one a line
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


class DataFingerprint(NamedTuple):
    """Fingerprints of a data set; empty if unknown.

    Attributes:
        images: Fingerprint of some of the pixels.
        labels: Fingerprint of all labels.
        classes: Fingerprint of their names.
    """

    images: str = ""
    labels: str = ""
    classes: str = ""

    @classmethod
    def of(cls, splits: Splits) -> "DataFingerprint":
        """The fingerprint of a data set."""
        return cls(splits.fingerprint, splits.labels_fingerprint, splits.classes_fingerprint)

    def differences(self, current: "DataFingerprint") -> list[str]:
        """Which of "images" and "labels" are known here and differ in `current`."""
        return [
            name
            for name in ("images", "labels")
            if getattr(self, name) and getattr(self, name) != getattr(current, name)
        ]


def read(folder: Path) -> DataFingerprint:
    """The fingerprint of the data of a run's start; empty, with a message, if it is damaged."""
    path = folder / FILE
    try:
        fingerprints = read_text(path).split("\n")[: len(DataFingerprint._fields)]
        if all(_FINGERPRINT.fullmatch(line) for line in fingerprints if line):
            return DataFingerprint(*fingerprints)
    except FileNotFoundError:  # of a new run
        return DataFingerprint()
    except (OSError, ValueError):
        pass
    say(f"data: {path} is damaged; the images are not compared with those that the run began with")
    return DataFingerprint()


def check(folder: Path, splits: Splits, needs_indices: bool, needs_labels: bool) -> None:
    """Refuses other data if the model stores a target for each image, or learns the classes.

    Args:
        folder: The run folder.
        splits: The data with which it continues.
        needs_indices: Whether the model stores a target for each image.
        needs_labels: Whether the model, or a probe beside it, learns the classes.

    Raises:
        InputError: The run started on other data.
    """
    begun, current = read(folder), DataFingerprint.of(splits)
    if needs_indices and begun.images and begun.images != current.images:
        raise InputError(
            f"{folder} was begun on other images (fingerprint {begun.images}, now "
            f"{current.images}), and this model keeps a target for each; give those, or another "
            "--run_dir"
        )
    if needs_labels and begun.classes and begun.classes != current.classes:
        raise InputError(
            f"{folder} was begun on other classes than {_listed(splits.label_names)}, and its "
            "model classifies them; give those, or another --run_dir"
        )


def _listed(names):
    shown = ", ".join(names[:5]) or "none"
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def record(folder: Path, splits: Splits) -> None:
    """Writes the fingerprint of a new run's data, or of labels added since; prints differences.

    Raises:
        OSError: It cannot be written.
    """
    begun, current = read(folder), DataFingerprint.of(splits)
    for name in begun.differences(current):
        say(
            f"data: not the {name} that {folder} was begun on (fingerprint "
            f"{getattr(begun, name)}, now {getattr(current, name)}); training continues with these"
        )
    labels_are_new = begun.images == current.images and not begun.labels
    if not begun.images or labels_are_new:
        atomic_write_text(folder / FILE, "\n".join(current) + "\n")
