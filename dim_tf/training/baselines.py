"""From an experiment to the models that Deep InfoMax is compared with."""

from collections.abc import Callable

from dim_tf.data.splits import Splits
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from keras_models.baselines import Supervised
from keras_models.encoders import Encoder
from keras_models.objective_model import ObjectiveModel


def make(experiment: Experiment, encoder: Encoder, splits: Splits) -> ObjectiveModel:
    """The experiment's model around its encoder, for that data.

    Raises:
        InputError: settings that do not fit the data or each other.
    """
    try:
        return _MODELS[experiment.model](experiment, encoder, splits)
    except ValueError as error:
        raise InputError(f"--model={experiment.model}: {error}") from error


def _supervised(experiment, encoder, splits):
    labels = len(splits.label_names)
    if labels < (1 if splits.multi_label else 2):
        raise InputError(
            f"--model=supervised has nothing to tell apart: {splits.name} has {labels} labels; "
            "give another --dataset or --model"
        )
    return Supervised(encoder, labels, splits.multi_label, experiment.seed, name="supervised")


_MODELS: dict[str, Callable[[Experiment, Encoder, Splits], ObjectiveModel]] = {
    "supervised": _supervised,
}
