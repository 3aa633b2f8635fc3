"""InfoGAN (Chen et al. 2016, https://arxiv.org/abs/1606.03657)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class InfoGANModel(ModelSettings):
    """The encoder discriminates generated images, and predicts a part of their codes."""

    NAME = "infogan"
    PREFIX = "infogan."
    LEARNED = "from unlabelled images as the discriminator of InfoGAN (Chen et al. 2016)"

    noise_dim: int = config_field(
        124, "Numbers of a code that are noise and are not predicted.", minimum=0, maximum=2**16
    )
    categories: tuple[int, ...] = config_field(
        (10, 10, 10, 10),
        "Categories of each categorical code, with commas between.",
        minimum=2,
        maximum=2**12,
    )
    continuous: int = config_field(
        4, "Number of continuous codes, uniform in [-1, 1].", minimum=0, maximum=2**12
    )
    information: float = config_field(
        1.0, "Weight of the information of generated images about their codes.", above=0
    )

    def check(self):
        """Checks that there is a code to predict."""
        if not self.categories and not self.continuous:
            raise InputError(
                "--infogan.categories is empty and --infogan.continuous is 0; give one of them, or "
                "take --model=dcgan"
            )

    def make(self, encoder, splits, experiment):
        """InfoGAN, with a generator of images of the encoder's size."""
        from keras_models.generative.infogan import InfoGAN, code_size

        size = self.noise_dim + code_size(self.categories, self.continuous)
        return InfoGAN(
            encoder,
            decoder_of(encoder, "generator", size),
            self.categories,
            self.continuous,
            self.information,
            experiment.training.seed,
            name="infogan",
        )
