"""The context encoder (Pathak et al. 2016, https://arxiv.org/abs/1604.07379)."""

from dataclasses import dataclass

from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class ContextEncoderModel(ModelSettings):
    """The centre of an image is painted from what surrounds it."""

    NAME = "context_encoder"
    PREFIX = "context_encoder."
    LEARNED = "from unlabelled images as a context encoder (Pathak et al. 2016)"

    adversarial_weight: float = config_field(
        0.001,
        "Weight of the adversarial loss, λ_adv; that of the squared error is 1 minus it.",
        minimum=0,
        maximum=0.999,
    )

    def make(self, encoder, splits, experiment):
        """The context encoder of the central region of images as large as the encoder's."""
        from keras_models.nn import decoders
        from keras_models.nn.discriminators import ImageDiscriminator
        from keras_models.pretext.context_encoder import ContextEncoder, region_shape

        region = region_shape(encoder.image_shape)
        filters = decoders.filters_for(region)
        decoder = decoders.Decoder(
            region, encoder.global_dim, filters, encoder.synchronized, name="decoder"
        )
        # Of small regions, too, at least one convolution.
        discriminator = ImageDiscriminator(
            tuple(reversed(filters[1:])) or filters, name="discriminator"
        )
        return ContextEncoder(
            encoder,
            decoder,
            discriminator,
            self.adversarial_weight,
            experiment.training.seed,
            name="context_encoder",
        )
