"""The contractive autoencoder (Rifai et al. 2011)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class ContractiveAutoencoderModel(ModelSettings):
    """Reconstruction, and the squared norm of the encoder's Jacobian."""

    NAME = "contractive_ae"
    PREFIX = "contractive_ae."
    LEARNED = "from unlabelled images as a contractive autoencoder (Rifai et al. 2011)"

    penalty: float = config_field(
        1e-3, "Weight of the squared norm of the standardised code's Jacobian, λ.", above=0
    )
    projections: int = config_field(
        1, "Random projections that estimate the norm for each image and step.", minimum=1
    )

    def make(self, encoder, splits, experiment):
        """The contractive autoencoder, for images of the encoder's size."""
        from keras_models.generative.contractive import ContractiveAutoencoder

        return ContractiveAutoencoder(
            encoder,
            decoder_of(encoder, "decoder"),
            self.penalty,
            self.projections,
            experiment.training.seed,
            name="contractive_autoencoder",
        )
