"""Two pretext tasks on one trunk (Doersch & Zisserman 2017, https://arxiv.org/abs/1708.07860)."""

from dataclasses import dataclass

from dim_tf.models.context_prediction import WithContextPrediction
from dim_tf.models.exemplar import WithExemplar
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class MultiTask(WithExemplar, WithContextPrediction):
    """One encoder learns the exemplar task and context prediction."""

    NAME = "multi_task"
    PREFIX = "multi_task."
    LEARNED = (
        "from unlabelled images by two tasks, exemplars and context prediction (Doersch & "
        "Zisserman 2017)"
    )

    exemplar_weight: float = config_field(1.0, "Weight of the exemplar task.", above=0)
    context_prediction_weight: float = config_field(
        1.0, "Weight of the task of context prediction.", above=0
    )

    def make(self, encoder, splits, experiment):
        """The model with both tasks."""
        from keras_models.pretext.tasks import PretextModel

        tasks = [
            self.exemplar_task(splits, experiment, self.exemplar_weight),
            self.context_prediction_task(encoder, self.context_prediction_weight),
        ]
        return PretextModel(encoder, tasks, experiment.training.seed, name="multi_task")
