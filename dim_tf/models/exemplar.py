"""Exemplars (Dosovitskiy et al. 2014, https://arxiv.org/abs/1406.6909)."""

from dataclasses import dataclass

from dim_tf.models.base import AugmentedViews
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class WithExemplar(AugmentedViews):
    """Settings of the exemplar task."""

    rotation: float = config_field(
        20.0,
        "Largest rotation of a changed image to either side, in degrees.",
        minimum=0,
        maximum=180,
    )

    def exemplar_task(self, splits, experiment, weight: float = 1.0):
        """The task with a class for each training image."""
        from keras_models.pretext.exemplar import Exemplar
        from keras_models.views import Augmentation

        augmentation = Augmentation(
            self.min_crop_scale, self.color_jitter_strength, experiment.augmentation
        )
        return Exemplar(len(splits.train), augmentation, self.rotation, weight)


@dataclass(frozen=True)
class ExemplarModel(WithExemplar):
    """Each training image is a class; its changed copies are the examples."""

    NAME = "exemplar"
    PREFIX = "exemplar."
    LEARNED = "from unlabelled images, each a class of its own (Dosovitskiy et al. 2014)"

    def make(self, encoder, splits, experiment):
        """The model of the exemplar task."""
        from keras_models.pretext.tasks import PretextModel

        task = self.exemplar_task(splits, experiment)
        return PretextModel(encoder, [task], experiment.training.seed, name="exemplar_model")
