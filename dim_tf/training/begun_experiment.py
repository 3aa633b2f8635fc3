"""The experiment of a run folder."""

from pathlib import Path

from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.system.files import read_text


def read(folder: Path) -> Experiment | None:
    """The experiment in a run folder's experiment.json; None if there is none.

    Args:
        folder: The run folder, which need not exist.

    Raises:
        InputError: The file cannot be read.
    """
    path = folder / "experiment.json"
    if not path.exists():
        return None
    try:
        return Experiment.from_json(read_text(path))
    except (InputError, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); give another --run_dir, or --noresume to start anew"
        ) from error
