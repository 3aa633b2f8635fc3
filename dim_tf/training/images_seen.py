"""Which images and labels a run is trained on: copies of a data set may have other ones.

A run goes on with others, as a folder's may change; that it did is told.
"""

import re
from pathlib import Path
from typing import NamedTuple

from dim_tf.console import say
from dim_tf.data.splits import Splits
from dim_tf.errors import InputError
from dim_tf.files import read_text, replace_text

FILE = "images.txt"  # of a run folder: the fingerprints, one a line
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


class Seen(NamedTuple):
    """Fingerprints of a data set; empty where they are not known.

    Attributes:
        images: of some of the pixels.
        labels: of all labels.
        classes: of their names.
    """

    images: str = ""
    labels: str = ""
    classes: str = ""

    @classmethod
    def of(cls, splits: Splits) -> "Seen":
        """Those of a data set."""
        return cls(splits.fingerprint, splits.labels_fingerprint, splits.classes_fingerprint)

    def differences(self, now: "Seen") -> list[str]:
        """What is known to be other in `now`: some of images and labels."""
        return [
            what
            for what in ("images", "labels")
            if getattr(self, what) and getattr(self, what) != getattr(now, what)
        ]


def begun_on(folder: Path) -> Seen:
    """What a run was begun on; nothing, which is said, where its file is damaged."""
    path = folder / FILE
    try:
        fingerprints = read_text(path).split("\n")[: len(Seen._fields)]
        if all(_FINGERPRINT.fullmatch(line) for line in fingerprints if line):
            return Seen(*fingerprints)
    except FileNotFoundError:  # of a new run, or of an earlier version's
        return Seen()
    except (OSError, ValueError):
        pass
    say(f"data: {path} is damaged; the images are not compared with those that the run began with")
    return Seen()


def check(folder: Path, splits: Splits, needs_indices: bool, needs_labels: bool) -> None:
    """For a model that keeps something of each image by its row, or of each class.

    Args:
        folder: of the run.
        splits: what it goes on with.
        needs_indices: whether it keeps something of each image.
        needs_labels: whether it learns, or a probe beside it, to tell classes apart.

    Raises:
        InputError: the run was begun on others.
    """
    before, now = begun_on(folder), Seen.of(splits)
    if needs_indices and before.images and before.images != now.images:
        raise InputError(
            f"{folder} was begun on other images (fingerprint {before.images}, now {now.images}), "
            "and this model keeps a target for each; give those, or another --run_dir"
        )
    if needs_labels and before.classes and before.classes != now.classes:
        raise InputError(
            f"{folder} was begun on other classes than {_listed(splits.label_names)}, and its "
            "model tells them apart; give those, or another --run_dir"
        )


def _listed(names):
    shown = ", ".join(names[:5]) or "none"
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def note(folder: Path, splits: Splits) -> None:
    """Writes the fingerprints where there are none, and tells where there are other ones.

    Raises:
        OSError: it cannot be written.
    """
    before, now = begun_on(folder), Seen.of(splits)
    for what in before.differences(now):
        say(
            f"data: not the {what} that {folder} was begun on (fingerprint "
            f"{getattr(before, what)}, now {getattr(now, what)}); training goes on with these"
        )
    # An earlier version knew of the images alone.
    if not before.images or (before.images == now.images and not before.labels):
        replace_text(folder / FILE, "\n".join(now) + "\n")
