"""DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class DCGANModel(ModelSettings):
    """The encoder is the discriminator between images and generated images."""

    NAME = "dcgan"
    PREFIX = "dcgan."
    LEARNED = "from unlabelled images as the discriminator of DCGAN (Radford et al. 2016)"

    noise_dim: int = config_field(
        100, "Numbers in the code of a generated image.", minimum=1, maximum=2**16
    )

    def make(self, encoder, splits, experiment):
        """DCGAN, with a generator of images of the encoder's size."""
        from keras_models.generative.dcgan import DCGAN

        generator = decoder_of(encoder, "generator", self.noise_dim)
        return DCGAN(encoder, generator, experiment.training.seed, name="dcgan")
