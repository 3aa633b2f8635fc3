"""Contrastive predictive coding (van den Oord et al. 2018, https://arxiv.org/abs/1807.03748)."""

from dataclasses import dataclass

from dim_tf.models.base import ModelSettings
from dim_tf.registry import CROP_ENCODERS
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class ContrastivePredictiveCoding(ModelSettings):
    """Predicts the features of crops from those of the crops above them."""

    NAME = "cpc"
    PREFIX = "cpc."
    LEARNED = "from unlabelled images by contrastive predictive coding (van den Oord et al. 2018)"

    units: int = config_field(256, "Units of the recurrent context.", minimum=1, maximum=2**16)
    ahead: int = config_field(5, "How many rows ahead are predicted, at most.", minimum=1)

    def make(self, encoder, splits, experiment):
        """CPC around an encoder of crops."""
        from keras_models.pretext.cpc import CPC

        return CPC(encoder, self.units, self.ahead, seed=experiment.training.seed, name="cpc")

    def check_encoder(self, encoder):
        """Checks that the encoder has features of crops."""
        if encoder.name not in ("", *CROP_ENCODERS.values()):
            raise InputError(
                f"--model=cpc predicts the features of crops, and {encoder.name} has none: take "
                f"--encoder={' or '.join(CROP_ENCODERS.values())}, or leave --encoder out"
            )
