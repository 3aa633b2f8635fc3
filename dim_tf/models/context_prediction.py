"""Context prediction (Doersch et al. 2015, https://arxiv.org/abs/1505.05192)."""

from dataclasses import dataclass

from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class WithContextPrediction(ModelSettings):
    """Settings of the task of context prediction."""

    hidden_units: int = config_field(
        512,
        "Units of the hidden layer on the features of two patches.",
        minimum=1,
        maximum=2**16,
    )

    def context_prediction_task(self, encoder, weight: float = 1.0):
        """The task for that encoder."""
        from keras_models.pretext.context_prediction import ContextPrediction

        return ContextPrediction(self.hidden_units, encoder.synchronized, weight)


@dataclass(frozen=True)
class ContextPredictionModel(WithContextPrediction):
    """Predicts the position of a patch relative to another one."""

    NAME = "context_prediction"
    PREFIX = "context_prediction."
    LEARNED = "from unlabelled images by context prediction (Doersch et al. 2015)"

    def make(self, encoder, splits, experiment):
        """The model whose task is context prediction."""
        from keras_models.pretext.tasks import PretextModel

        task = self.context_prediction_task(encoder)
        return PretextModel(encoder, [task], experiment.training.seed, name="context_model")
