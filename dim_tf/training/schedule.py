"""Which images an experiment trains on, and for how many steps."""

from dim_tf.data import pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.models.fitted import FittedModel
from dim_tf.system.errors import InputError

FITTED_STEP = 1  # of the checkpoint of a model that is fitted without steps


def training_split(experiment: Experiment, splits: Splits) -> Split:
    """The training images; for a supervised model, those with labels.

    Raises:
        InputError: The model needs labels and there are none.
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
    """The step at which training ends, by --epochs and --steps, or as measured for --minutes.

    A model that is fitted has one.

    Raises:
        ValueError: The steps of --minutes are not known yet (`plan.resolve`).
    """
    if isinstance(experiment.model, FittedModel):
        return FITTED_STEP
    if experiment.training.minutes:
        if not experiment.training.steps:
            raise ValueError("the steps of --minutes are not measured yet")
        return experiment.training.steps
    images = len(training_split(experiment, splits))
    last = experiment.training.epochs * pipeline.steps_per_epoch(
        images, experiment.training.batch_size
    )
    return min(last, experiment.training.steps) if experiment.training.steps else last
