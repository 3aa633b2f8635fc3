"""Density models of images by a flow: NICE and RealNVP."""

import math

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.encoders.flow import LEVELS, Flow, dequantised
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses

LATENT_PRIORS = ("gaussian", "logistic")


@keras.saving.register_keras_serializable(layers.PACKAGE)
class FlowDensity(EncoderModel):
    """Minimises -log2 p(x) in bits per dimension, for images x of 256 levels.

    Images are dequantised by uniform noise (Uria et al. 2013), so that the mean of the density over
    an interval is a level's probability, whose logarithm it bounds from below:

        log p(x) = log p_Z(z) + log |det ∂z/∂u|   (Dinh et al. 2017, eq. 3)
        bits per dimension = 8 - log p(x)/(D·log 2),   z = f(u), u = (level + noise)/256.

    The latent z is the global feature. The encoder is the flow f; there is nothing else to train.

    Args:
        encoder: A `Flow`.
        prior: Distribution of the latent's numbers, independent: one of `LATENT_PRIORS`, N(0, 1) or
            the standard logistic distribution.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: An unknown prior; when built, the encoder is no flow.
    """

    def __init__(self, encoder, prior: str = "gaussian", seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        if prior not in LATENT_PRIORS:
            raise ValueError(f"prior={prior!r}; expected one of {', '.join(LATENT_PRIORS)}")
        self.prior = prior

    def build_heads(self, shapes):
        if not isinstance(self.encoder, Flow):
            raise ValueError(
                f"needs an invertible encoder, and {self.encoder.name} is none; leave --encoder out"
            )

    def log_density(self, unit_images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The logarithm of p(u) of each image, in nats, and its latent.

        Args:
            unit_images: u, float32 [N, H, W, C] in [0, 1].

        Returns:
            float32 [N] and [N, D].
        """
        latents, log_determinant = self.encoder.transform(unit_images)
        latents = tf.reshape(latents, [-1, self.encoder.global_dim])
        tfd = priors.distributions()
        prior = tfd.Normal(0.0, 1.0) if self.prior == "gaussian" else tfd.Logistic(0.0, 1.0)
        return tf.reduce_sum(prior.log_prob(latents), 1) + log_determinant, latents

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        noise = random.uniform("dequantization", tf.shape(batch.images)[0], self.image_shape)
        log_density, latents = self.log_density(dequantised(batch.images, noise))
        nats = -tf.reduce_mean(log_density) / self.encoder.global_dim
        bits = nats / math.log(2.0) + math.log2(LEVELS)
        return Losses(bits, None, {"bits_per_dimension": bits}, latents)

    def config(self):
        return {"prior": self.prior}
