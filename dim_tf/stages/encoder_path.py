"""The exported encoder that a stage reads. Imports no TensorFlow: preconditions use it."""

from pathlib import Path

from dim_tf.experiment import Experiment
from dim_tf.export.version_folders import published_versions
from dim_tf.system.errors import InputError


def encoder_path(experiment: Experiment) -> Path:
    """The version that --encoder_path names, or the newest of the run's exports.

    With neither, it is version 1, which then does not exist.

    Raises:
        InputError: --encoder_path is a URL, not a path on this machine.
    """
    given = experiment.evaluation.encoder_path
    if "://" in given:
        raise InputError(
            f"--encoder_path={given} is not on this machine; copy that version's folder here and "
            "give its path (only python -m dim_tf.collection.beam reads it where it is)"
        )
    folder = Path(experiment.export.export_dir) / experiment.name
    newest = folder / str(max(published_versions(folder), default=1))
    return Path(given or newest)
