"""What a conversion needs to know of a runtime."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from dim_tf.system.errors import InputError

SIGNATURE = "serving_default"  # the only one of the SavedModel that is converted
# images, float32 [N, H, W, C] -> the outputs, by their names
Run = Callable[[np.ndarray], dict[str, np.ndarray]]


class Runtime(Protocol):
    """A runtime, and how a SavedModel is converted for it.

    Attributes:
        name: in --to, and of the folder of its files.
    """

    name: str

    def check_installed(self) -> None:
        """Raises InputError, with the command that installs it, if something is missing."""

    def write(self, saved_model: Path, folder: Path) -> None:
        """Converts.

        Args:
            saved_model: a SavedModel with one signature, `SIGNATURE`, of images [N, H, W, C].
            folder: exists and is empty; gets all files.

        Raises:
            Exception: whatever the converter raises.
        """

    def load(self, folder: Path) -> Run:
        """The model that `write` wrote, computing in float32.

        Raises:
            Exception: whatever the runtime raises.
        """


def check_packages(name: str, packages: Sequence[str]) -> None:
    """Checks that packages can be imported.

    Args:
        name: of the runtime, which is also that of the extra that brings them.
        packages: as they are imported.

    Raises:
        InputError: one is missing.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f"--to={name} needs {', '.join(missing)}, not installed here; "
            f"pip install 'dim_tf[{name}]'"
        )
