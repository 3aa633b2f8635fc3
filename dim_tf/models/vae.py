"""The VAE (Kingma & Welling 2014, https://arxiv.org/abs/1312.6114) and the β-VAE."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class VariationalAutoencoder(ModelSettings):
    """Reconstruction and the KL divergence from a standard normal prior."""

    NAME = "vae"
    PREFIX = "vae."
    LEARNED = "from unlabelled images as a variational autoencoder (Kingma & Welling 2014)"

    def make(self, encoder, splits, experiment):
        """The VAE, for images of the encoder's size."""
        return _vae(encoder, 1.0, experiment.training.seed)


@dataclass(frozen=True)
class BetaVAE(ModelSettings):
    """A VAE whose KL divergence has a weight (Higgins et al. 2017)."""

    NAME = "beta_vae"
    PREFIX = "beta_vae."
    LEARNED = "from unlabelled images as a β-VAE (Higgins et al. 2017)"

    kl_weight: float = config_field(4.0, "Weight of the KL divergence from the prior.", above=0)

    def make(self, encoder, splits, experiment):
        """The β-VAE, for images of the encoder's size."""
        return _vae(encoder, self.kl_weight, experiment.training.seed)


def _vae(encoder, kl_weight, seed):
    from keras_models.generative.vae import VAE

    return VAE(encoder, decoder_of(encoder, "decoder"), kl_weight, seed, name="vae")
