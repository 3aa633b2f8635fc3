"""The variational autoencoder, and β-VAE."""

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders.blocks import DenseHead
from keras_models.generative.autoencoder import Autoencoder
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class VAE(Autoencoder):
    """Maximises the evidence lower bound (Kingma & Welling 2014, eq. 3), in nats per image.

    ELBO = E[log p(x|z)] - β KL(q(z|x) ‖ p(z)), with p(z) = N(0, I), p(x|z) = N(decoded z, I) and
    q(z|x) = N(Y, diag σ²), from which one z is drawn. The mean Y is the global feature, which is
    evaluated and exported; log σ² is a linear map of the endpoint fc, or of Y if there is no fc. β
    = 1; a larger β gives a β-VAE (Higgins et al. 2017, eq. 4).

    Args:
        encoder: Images -> endpoints.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        kl_weight: β.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `Autoencoder`.
    """

    def __init__(self, encoder, decoder, kl_weight: float = 1.0, seed: int = 0, **kwargs):
        super().__init__(encoder, decoder, seed, **kwargs)
        self.kl_weight = kl_weight
        self.log_variance = DenseHead(encoder.global_dim, name="log_variance")
        self._normal = priors.GaussianPrior(encoder.global_dim)

    def build_heads(self, shapes):
        super().build_heads(shapes)
        self.log_variance.build(shapes[input_of_variance(shapes)])

    def posterior(self, endpoints: dict):
        """q(z|x) of each image: a TFP distribution over [N, D]."""
        tfd = priors.distributions()
        mean = tf.cast(endpoints["global"], tf.float32)
        log_variance = self.log_variance(endpoints[input_of_variance(endpoints)])
        stddev = tf.exp(0.5 * tf.cast(log_variance, tf.float32))
        return tfd.Independent(tfd.Normal(mean, stddev), 1)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        tfd = priors.distributions()
        endpoints = self.encoder(batch.images, training=training, random=random)
        posterior = self.posterior(endpoints)
        dim = self.encoder.global_dim
        noise = self._normal.sample(random.uniform("posterior", tf.shape(batch.images)[0], (dim,)))
        codes = posterior.distribution.loc + posterior.distribution.scale * noise  # [N, D]

        prior = tfd.Independent(tfd.Normal(tf.zeros(dim), 1.0), 1)
        divergence = tfd.kl_divergence(posterior, prior)  # [N]
        decoded = self.decoder(codes, training=training)
        likelihood = tfd.Independent(tfd.Normal(decoded, 1.0), 3).log_prob(batch.images)  # [N]
        loss = tf.reduce_mean(self.kl_weight * divergence - likelihood)
        metrics = {
            "log_likelihood": tf.reduce_mean(likelihood),
            "kl_divergence": tf.reduce_mean(divergence),
        }
        return Losses(loss, None, metrics, endpoints["global"])

    def config(self):
        return {**super().config(), "kl_weight": self.kl_weight}


def input_of_variance(endpoints: dict) -> str:
    """The endpoint whose linear map is log σ²: fc, or global for an encoder without fc."""
    return "fc" if "fc" in endpoints else "global"
