"""An image generator trained by prior matching alone (Hjelm et al. 2019, appendix)."""

import keras
import tensorflow as tf

from keras_models import adversary, priors
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import decoders, layers
from keras_models.nn.discriminators import ImageDiscriminator
from keras_models.objective_model import Batch, Losses, ObjectiveModel


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Generator(ObjectiveModel):
    """Prior matching reversed: noise is decoded, and the target distribution is that of images.

    Deep InfoMax matches encoded images with a prior; here decoded samples of a prior are matched
    with images, by the same losses.

    Args:
        decoder: Codes [N, D] -> images in [-1, 1].
        discriminator: Images -> logits.
        prior: Distribution of the codes.
        divergence: A name of `adversary.NAMES`.
        penalty: λ of the gradient penalty.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: Unknown divergence, or `wgan_gp` without a penalty.
    """

    def __init__(
        self,
        decoder,
        discriminator,
        prior,
        divergence: str = "gan",
        penalty: float = 1.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(seed, **kwargs)
        self.decoder = decoder
        self.discriminator = discriminator
        self.prior = prior
        self.divergence = adversary.get(divergence)
        self.penalty = penalty
        adversary.check_penalty(self.divergence, penalty)

    def build_parts(self):
        if not self.decoder.built:
            self.decoder.build()
        if not self.discriminator.built:
            self.discriminator.build((None, *self.decoder.image_shape))

    @property
    def image_shape(self):
        return self.decoder.image_shape

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def call(self, codes, training=False):
        """Codes [N, D] -> images [N, H, W, C] in [-1, 1]."""
        return self.decoder(codes, training=training)

    def samples(self, count: int, seed: int = 0) -> tf.Tensor:
        """Generated images [count, H, W, C] in [-1, 1]; the seed determines the codes."""
        return self(self._codes(StepRandom(seed, tf.constant(0)), "samples", count))

    def _codes(self, random, purpose, count):
        return self.prior.sample(random.uniform(purpose, count, (self.prior.dim,)))

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        codes = self._codes(random, "codes", tf.shape(batch.images)[0])
        generated = self.decoder(codes, training=training)
        losses = adversary.losses(
            self.discriminator,
            batch.images,
            generated,
            self.divergence,
            self.penalty,
            random,
        )
        metrics = {
            "generator_loss": losses.generator_loss,
            "image_divergence": losses.divergence,
            "image_gradient_penalty": losses.penalty,
        }
        return Losses(losses.generator_loss, losses.adversary_loss, metrics)

    def get_config(self):
        return {
            "name": self.name,
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "divergence": self.divergence.name,
            "penalty": self.penalty,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("decoder", "discriminator", "prior")
        }
        return cls(**{**config, **parts})


def image_generator(
    image_shape: tuple[int, int, int],
    prior: str = "uniform",
    latent_dim: int = 64,
    divergence: str = "gan",
    penalty: float = 1.0,
    seed: int = 0,
    synchronized: bool = False,
) -> Generator:
    """A generator of images of that shape, with the authors' decoder and a named prior.

    Raises:
        ValueError: The decoder cannot output these sides, or the prior or divergence is unknown.
    """
    filters = decoders.filters_for(image_shape)
    decoder = decoders.Decoder(image_shape, latent_dim, filters, synchronized, name="decoder")
    discriminator = ImageDiscriminator(tuple(reversed(filters[1:])), name="discriminator")
    return Generator(
        decoder,
        discriminator,
        priors.get(prior, latent_dim),
        divergence,
        penalty,
        seed,
        name="generator",
    )
