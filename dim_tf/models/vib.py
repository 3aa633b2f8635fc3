"""The deep variational information bottleneck (Alemi et al. 2017)."""

from dataclasses import dataclass

from dim_tf.models.supervised import SupervisedModel
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class InformationBottleneck(SupervisedModel):
    """Cross-entropy of labels predicted from a noisy code, plus the code's KL divergence."""

    NAME = "vib"
    PREFIX = "vib."
    LEARNED = (
        "from images and their labels by the deep variational information bottleneck "
        "(Alemi et al. 2017)"
    )

    kl_weight: float = config_field(
        1e-3, "Weight of the code's KL divergence from a standard normal, β.", minimum=0
    )

    def make(self, encoder, splits, experiment):
        """The bottleneck that predicts the data's labels."""
        from keras_models.vib import VIB

        return VIB(
            encoder,
            self.labels_of(splits),
            splits.multi_label,
            self.kl_weight,
            experiment.training.seed,
            name="vib",
        )
