"""The β-TCVAE (Chen et al. 2018, https://arxiv.org/abs/1802.04942)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class BetaTCVAEModel(ModelSettings):
    """A VAE with a weight on its total correlation."""

    NAME = "beta_tcvae"
    PREFIX = "beta_tcvae."
    LEARNED = "from unlabelled images as a β-TCVAE (Chen et al. 2018)"

    tc_weight: float = config_field(6.0, "Weight of the total correlation, β.", above=0)
    sampling: str = config_field(
        "stratified",
        "How a batch estimates the density of the codes.",
        choices=("stratified", "weighted"),  # those of keras_models
    )

    def make(self, encoder, splits, experiment):
        """The β-TCVAE, for images of the encoder's size."""
        from keras_models.generative.beta_tcvae import BetaTCVAE

        return BetaTCVAE(
            encoder,
            decoder_of(encoder, "decoder"),
            len(splits.train),
            self.tc_weight,
            self.sampling,
            experiment.training.seed,
            name="beta_tcvae",
        )
