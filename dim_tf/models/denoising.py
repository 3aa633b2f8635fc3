"""The denoising autoencoder (Vincent et al. 2008, https://doi.org/10.1145/1390156.1390294)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from keras_models.generative.denoising import Corruption


@dataclass(frozen=True)
class WithCorruption(ModelSettings):
    """Settings of a model that learns to undo a corruption of its input."""

    masked: float = config_field(
        0.25,
        "Fraction of the input's numbers that are set to 0, which is mid-grey in images.",
        minimum=0,
        maximum=0.99,
    )
    noise_stddev: float = config_field(
        0.0, "Standard deviation of Gaussian noise on the input; images are in -1..1.", minimum=0
    )

    def check(self):
        """Checks that something is corrupted."""
        if not (self.masked or self.noise_stddev):
            raise InputError(
                f"--{self.PREFIX}masked and --{self.PREFIX}noise_stddev are both 0; give one of "
                "them, or --model=ae"
            )

    def corruption(self) -> "Corruption":
        """The corruption of these settings."""
        from keras_models.generative.denoising import Corruption

        return Corruption(self.masked, self.noise_stddev)


@dataclass(frozen=True)
class DenoisingAutoencoderModel(WithCorruption):
    """The mean squared error of images decoded from corrupted ones."""

    NAME = "denoising_ae"
    PREFIX = "denoising_ae."
    LEARNED = "from unlabelled images as a denoising autoencoder (Vincent et al. 2008)"

    def make(self, encoder, splits, experiment):
        """The denoising autoencoder, for images of the encoder's size."""
        from keras_models.generative.denoising import DenoisingAutoencoder

        decoder = decoder_of(encoder, "decoder")
        seed = experiment.training.seed
        return DenoisingAutoencoder(
            encoder, decoder, self.corruption(), seed, name="denoising_autoencoder"
        )
