"""Full supervision."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.models.base import ModelSettings
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from dim_tf.data.splits import Splits


@dataclass(frozen=True)
class SupervisedModel(ModelSettings):
    """Cross-entropy of a linear classifier of the global feature."""

    NAME = "supervised"
    PREFIX = "supervised."
    LEARNED = "from images and their labels by cross-entropy: full supervision"
    NEEDS_LABELS = True

    def make(self, encoder, splits, experiment):
        """The classifier of the data's labels."""
        from keras_models.supervised import Supervised

        labels, seed = self.labels_of(splits), experiment.training.seed
        return Supervised(encoder, labels, splits.multi_label, seed, name="supervised")

    def labels_of(self, splits: "Splits") -> int:
        """The number of classes or attributes in the data.

        Raises:
            InputError: There are too few to distinguish images by.
        """
        labels = len(splits.label_names)
        if labels < (1 if splits.multi_label else 2):
            raise InputError(
                f"--model={self.NAME} has nothing to tell apart: {splits.name} has {labels} "
                "labels; give another --dataset or --model"
            )
        return labels
