"""BiGAN (Donahue et al. 2017, https://arxiv.org/abs/1605.09782)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.models.adversarial import WithPrior
from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field

if TYPE_CHECKING:
    from keras_models.encoders import Encoder
    from keras_models.nn.discriminators import PairDiscriminator


@dataclass(frozen=True)
class WithPairs(ModelSettings):
    """Settings of a model with a discriminator of pairs of an image and a code."""

    code_units: tuple[int, ...] = config_field(
        (512, 512),
        "Units of each dense layer of the discriminator that takes the code alone; the "
        "convolutions on the image end in a dense layer with as many units as the last of these.",
        minimum=1,
        maximum=2**16,
    )
    joint_units: tuple[int, ...] = config_field(
        (1024, 1024),
        "Units of each dense layer of the discriminator that takes image and code.",
        minimum=1,
        maximum=2**16,
    )
    prior_penalty: float = config_field(
        0.0,
        "Weight of the discriminator's gradient penalty, with which its answer on CIFAR-10 depends "
        "less on which code an image has.",
        minimum=0,
    )
    reconstruction: float = config_field(
        0.0,
        "Weight of the mean squared distance of a prior sample from the code of its generated "
        "image, as in VEEGAN; 0: none. With BiGAN on CIFAR-10 it needs a penalty of 1.",
        minimum=0,
    )

    def pair_discriminator(self, encoder: "Encoder") -> "PairDiscriminator":
        """The discriminator of pairs; it has a convolution for each doubling in the decoder."""
        from keras_models.nn import decoders
        from keras_models.nn.discriminators import PairDiscriminator

        filters = tuple(reversed(decoders.filters_for(encoder.image_shape)[1:]))
        return PairDiscriminator(filters, self.code_units, self.joint_units, name="discriminator")


@dataclass(frozen=True)
class BiGANModel(WithPairs, WithPrior):
    """A discriminator of (image, code) and (generated image, prior sample)."""

    NAME = "bigan"
    PREFIX = "bigan."
    LEARNED = "from unlabelled images by BiGAN (Donahue et al. 2017)"

    def make(self, encoder, splits, experiment):
        """BiGAN, with a generator of images of the encoder's size."""
        from keras_models import priors
        from keras_models.generative.bigan import BiGAN

        return BiGAN(
            encoder,
            decoder_of(encoder, "generator"),
            self.pair_discriminator(encoder),
            priors.get(self.prior, encoder.global_dim),
            self.prior_penalty,
            experiment.training.seed,
            reconstruction=self.reconstruction,
            name="bigan",
        )
