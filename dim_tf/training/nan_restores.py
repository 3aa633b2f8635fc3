"""--on_nan=restore: how often a run went back to a checkpoint because of a non-finite number."""

from pathlib import Path
from typing import Any

from dim_tf.system.console import say
from dim_tf.system.errors import NonFiniteError, RunError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.json_files import json_with_checksum, read_json_with_checksum
from keras_models.distribute.randomness import derive_seed

FILE = "nan_restores.json"


class NanRestores:
    """The steps to which a run went back, kept in the run folder because the run may be killed.

    Each time the data get another seed, which is a function of the run's seed and the number of
    restores: a run that is repeated goes back to the same steps, and continues with the same data.

    Args:
        folder: The run folder.
        seed: The experiment's seed.
        limit: How often the run may go back.
        writes: Whether this process writes; among several workers, only one does.

    Raises:
        RunError: The file is damaged.
    """

    def __init__(self, folder: Path, seed: int, limit: int, writes: bool = True):
        self._path = folder / FILE
        self._seed = seed
        self._limit = limit
        self._writes = writes
        self._steps: list[int] = []
        if self._path.exists():
            try:
                content = read_json_with_checksum(self._path)
                self._steps = _whole_numbers(content["back_to_steps"])
            except (OSError, ValueError, KeyError) as error:
                raise RunError(
                    f"{self._path} is damaged ({reason(error)}); it determines the next images: "
                    "put a copy back, or train anew with --noresume"
                ) from error

    @property
    def data_seed(self) -> int:
        """The seed of the images' order and augmentation."""
        count = len(self._steps)
        return derive_seed(self._seed, f"back {count} times") if count else self._seed

    def forget_after(self, step: int) -> None:
        """Forgets the restores after `step`, from which the run resumes: they will happen again."""
        kept = [restored for restored in self._steps if restored <= step]
        if kept != self._steps:
            self._steps = kept
            self._write()

    def check_limit(self, error: NonFiniteError, latest: str | None) -> None:
        """Raises RunError if the run may not go back once more.

        Args:
            error: The error because of which it would go back.
            latest: Path of the newest checkpoint, for the message.
        """
        if len(self._steps) < self._limit:
            return
        times = f", after going back {len(self._steps)} times" if self._steps else ""
        remedy = "more --nan_restores" if self._limit else "--on_nan=restore"
        raise RunError(
            f"{error}{times}; the last good checkpoint is {latest or 'none'}. A lower "
            f"--learning_rate may help, with another --name or --noresume; or {remedy}, which goes "
            "back to that checkpoint and on with the images in another order"
        ) from error

    def record(self, error: NonFiniteError, step: int) -> None:
        """Records that the run went back to `step`, and prints it."""
        self._steps.append(step)
        self._write()
        say(
            f"train: {error}; back to step {step} with the images in another order "
            f"({len(self._steps)} of at most {self._limit} times)"
        )

    def _write(self):
        if self._writes:
            advice = "make room and give the same command again"
            with translate_write_errors(FILE, self._path.parent, advice):
                content = json_with_checksum({"back_to_steps": self._steps})
                atomic_write_text(self._path, content)


def _whole_numbers(value: Any) -> list[int]:
    if not isinstance(value, list) or any(type(entry) is not int for entry in value):
        raise ValueError("its back_to_steps are no list of whole numbers")
    return value
