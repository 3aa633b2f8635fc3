"""The exported encoder that a stage reads. Free of TensorFlow, as the preconditions need it."""

from pathlib import Path

from dim_tf.experiment import Experiment
from dim_tf.export.version_folders import published_versions


def encoder_path(experiment: Experiment) -> Path:
    """The version that --encoder_path names, or the newest of the run's exports.

    Without either it is version 1, which then does not exist.
    """
    folder = Path(experiment.export.export_dir) / experiment.name
    newest = folder / str(max(published_versions(folder), default=1))
    return Path(experiment.evaluation.encoder_path or newest)
