"""Which images a run is trained on: copies of a data set may have other pixels.

A run goes on with other images, as a folder's may change; that it did is told.
"""

from pathlib import Path

from dim_tf.console import say
from dim_tf.data.splits import Splits
from dim_tf.errors import InputError, one_line
from dim_tf.files import read_text, replace_text

FILE = "images.txt"  # of a run folder: the fingerprint
_SHOWN = 80  # characters of what a damaged file may hold instead


def begun_on(folder: Path) -> str:
    """The fingerprint of the images that a run was begun on; empty where it is not known."""
    try:
        return one_line(read_text(folder / FILE).strip(), _SHOWN)
    except (OSError, ValueError):  # of an earlier version, or no text
        return ""


def check(folder: Path, splits: Splits) -> None:
    """For a model that keeps something of each image by its row.

    Raises:
        InputError: the run was begun on others.
    """
    before = begun_on(folder)
    if before and before != splits.fingerprint:
        raise InputError(
            f"{folder} was begun on other images (fingerprint {before}, now {splits.fingerprint}), "
            "and this model keeps a target for each; give those, or another --run_dir"
        )


def note(folder: Path, splits: Splits) -> None:
    """Writes the fingerprint where there is none, and tells where there is another one.

    Raises:
        OSError: it cannot be written.
    """
    before = begun_on(folder)
    if not before:
        replace_text(folder / FILE, splits.fingerprint + "\n")
    elif before != splits.fingerprint:
        say(
            f"data: not the images that {folder} was begun on (fingerprint {before}, now "
            f"{splits.fingerprint}); training goes on with these"
        )
