"""Which images an experiment trains on, and for how many steps."""

from dim_tf.data import pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError


def training_split(experiment: Experiment, splits: Splits) -> Split:
    """The training images; of a supervised model, those with labels.

    Raises:
        InputError: The model needs labels and there are none.
    """
    if experiment.model != "supervised":
        return splits.train
    split = splits.labelled or splits.train
    if split.labels is None:
        raise InputError(
            f"--model=supervised learns from labels, and {splits.name} has none for its training "
            "images; give another --dataset or --model"
        )
    return split


def last_step(experiment: Experiment, splits: Splits) -> int:
    """The step at which training ends, by --epochs and --steps."""
    images = len(training_split(experiment, splits))
    last = experiment.epochs * pipeline.steps_per_epoch(images, experiment.batch_size)
    return min(last, experiment.steps) if experiment.steps else last
