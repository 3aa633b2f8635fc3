"""BiGAN (Donahue et al. 2017, https://arxiv.org/abs/1605.09782)."""

from dataclasses import dataclass

from dim_tf.models.adversarial import WithPrior
from dim_tf.models.autoencoder import decoder_of


@dataclass(frozen=True)
class BiGANModel(WithPrior):
    """A discriminator of (image, code) and (generated image, prior sample)."""

    NAME = "bigan"
    PREFIX = "bigan."
    LEARNED = "from unlabelled images by BiGAN (Donahue et al. 2017)"

    def make(self, encoder, splits, experiment):
        """BiGAN, its generator of images as large as the encoder's."""
        from keras_models import priors
        from keras_models.generative.bigan import BiGAN
        from keras_models.nn import decoders
        from keras_models.nn.discriminators import PairDiscriminator

        filters = decoders.filters_for(encoder.image_shape)
        return BiGAN(
            encoder,
            decoder_of(encoder, "generator"),
            PairDiscriminator(tuple(reversed(filters[1:])), name="discriminator"),
            priors.get(self.prior, encoder.global_dim),
            self.prior_penalty,
            experiment.training.seed,
            name="bigan",
        )
