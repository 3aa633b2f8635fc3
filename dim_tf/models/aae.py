"""The adversarial autoencoder (Makhzani et al. 2016, https://arxiv.org/abs/1511.05644)."""

from dataclasses import dataclass

from dim_tf.models.adversarial import WithPriorDivergence
from dim_tf.models.autoencoder import decoder_of
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class AdversarialAutoencoderModel(WithPriorDivergence):
    """Reconstruction, and codes matched with a prior."""

    NAME = "aae"
    PREFIX = "aae."
    LEARNED = "from unlabelled images as an adversarial autoencoder (Makhzani et al. 2016)"

    gamma: float = config_field(0.1, "Weight of prior matching.", above=0)

    def make(self, encoder, splits, experiment):
        """The adversarial autoencoder, for images of the encoder's size."""
        from keras_models.generative.aae import AdversarialAutoencoder

        matching = self.prior_matching(encoder, self.gamma)
        decoder = decoder_of(encoder, "decoder")
        seed = experiment.training.seed
        return AdversarialAutoencoder(encoder, decoder, matching, seed, name="aae")

    @property
    def matched_prior(self):
        """The prior in its settings."""
        return self.prior
