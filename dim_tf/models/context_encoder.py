"""The context encoder (Pathak et al. 2016, https://arxiv.org/abs/1604.07379)."""

from dataclasses import dataclass

from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class ContextEncoderModel(ModelSettings):
    """The centre of an image is painted from its surroundings."""

    NAME = "context_encoder"
    PREFIX = "context_encoder."
    LEARNED = "from unlabelled images as a context encoder (Pathak et al. 2016)"

    adversarial_weight: float = config_field(
        0.001,
        "Weight of the adversarial loss, λ_adv; the squared error has the weight 1 - λ_adv.",
        minimum=0,
        maximum=0.999,
    )

    def make(self, encoder, splits, experiment):
        """The context encoder, for images of the encoder's size."""
        from keras_models.nn import decoders
        from keras_models.nn.discriminators import ImageDiscriminator
        from keras_models.pretext.context_encoder import ContextEncoder, region_shape

        region = region_shape(encoder.image_shape)
        filters = decoders.filters_for(region)
        decoder = decoders.Decoder(
            region, encoder.global_dim, filters, encoder.synchronized, name="decoder"
        )
        # At least one convolution, for small regions too.
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
