"""The stages of a run, in their order: train, evaluate, export. They meet in the run folder."""

from dim_tf import data
from dim_tf.experiment import Experiment
from dim_tf.training import loop


def run(experiment: Experiment, modes: list[str]) -> bool:
    """Runs the stages; returns whether a signal stopped training.

    Raises:
        InputError: wrong settings, or missing data.
        RunError: a stage failed.
    """
    splits = data.load(
        experiment.dataset, experiment.data_dir, experiment.image_size, experiment.download
    )
    if "train" in modes:
        try:
            loop.train(experiment, splits)
        except loop.Stopped as stopped:
            print(stopped)
            return True
    return False
