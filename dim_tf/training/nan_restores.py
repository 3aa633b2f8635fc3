"""How often a run went back because of a number that is not finite: `--on_nan=restore`."""

from pathlib import Path
from typing import Any

from dim_tf.console import say
from dim_tf.errors import NotFinite, RunError
from dim_tf.files import read_checked, replace_text, with_checksum
from dim_tf.writing import writing
from keras_models.distribute.randomness import derive_seed

FILE = "nan_restores.json"


class NanRestores:
    """The steps that a run went back to, in the run folder, so that a kill does not lose them.

    Each time the data get another seed, a function of the run's seed and of how often it went back:
    a run that is repeated goes back in the same places, to the same data.

    Args:
        folder: the run's.
        seed: the experiment's.
        limit: how often it may go back.
        writes: whether this process writes; of several workers one does.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(self, folder: Path, seed: int, limit: int, writes: bool = True):
        self._path = folder / FILE
        self._seed = seed
        self._limit = limit
        self._writes = writes
        self._steps: list[int] = []
        if self._path.exists():
            try:
                self._steps = _whole_numbers(read_checked(self._path)["back_to_steps"])
            except (OSError, ValueError, KeyError) as error:
                raise RunError(
                    f"{self._path} is damaged ({_reason(error)}), and with it which images come "
                    "next; put a copy back, or train anew with --noresume"
                ) from error

    @property
    def data_seed(self) -> int:
        """Of the order and the augmentation of the images."""
        count = len(self._steps)
        return derive_seed(self._seed, f"back {count} times") if count else self._seed

    def cut_back(self, step: int) -> None:
        """Forgets what came after `step`, from which the run goes on: it will come again."""
        kept = [one for one in self._steps if one <= step]
        if kept != self._steps:
            self._steps = kept
            self._write()

    def allow(self, error: NotFinite, latest: str | None) -> None:
        """Raises RunError where the run may not go back once more."""
        if len(self._steps) < self._limit:
            return
        times = f", after going back {len(self._steps)} times" if self._steps else ""
        other = "more --nan_restores" if self._limit else "--on_nan=restore"
        raise RunError(
            f"{error}{times}; the last good checkpoint is {latest or 'none'}. A lower "
            f"--learning_rate may help, with another --name or --noresume; or {other}, which goes "
            "back to that checkpoint and on with the images in another order"
        ) from error

    def went_back(self, error: NotFinite, step: int) -> None:
        """Notes it, and says so."""
        self._steps.append(step)
        self._write()
        say(
            f"train: {error}; back to step {step} with the images in another order "
            f"({len(self._steps)} of at most {self._limit} times)"
        )

    def _write(self):
        if self._writes:
            with writing(FILE, self._path.parent, "make room and give the same command again"):
                replace_text(self._path, with_checksum({"back_to_steps": self._steps}))


def _reason(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def _whole_numbers(found: Any) -> list[int]:
    if not isinstance(found, list) or any(type(one) is not int for one in found):
        raise ValueError("its back_to_steps are no list of whole numbers")
    return found
