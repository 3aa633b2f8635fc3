"""What an experiment trains on, and for how long."""

from dim_tf.data import pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment


def trained_on(experiment: Experiment, splits: Splits) -> Split:
    """The images of training; of a supervised model, those that have labels.

    Raises:
        InputError: it needs labels and there are none.
    """
    if not experiment.model.NEEDS_LABELS:
        return splits.train
    split = splits.labelled or splits.train
    if split.labels is None:
        raise InputError(
            f"--model={experiment.model.NAME} learns from labels, and {splits.name} has none "
            "for its training images; give another --dataset or --model"
        )
    return split


def last_step(experiment: Experiment, splits: Splits) -> int:
    """At which training ends, by the experiment's budget."""
    images = len(trained_on(experiment, splits))
    last = experiment.training.epochs * pipeline.steps_per_epoch(
        images, experiment.training.batch_size
    )
    return min(last, experiment.training.steps) if experiment.training.steps else last
