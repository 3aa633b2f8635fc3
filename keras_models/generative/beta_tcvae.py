"""β-TCVAE: a VAE with a weight on its total correlation."""

import math

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.generative.vae import VAE
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses

SAMPLINGS = ("stratified", "weighted")


@keras.saving.register_keras_serializable(layers.PACKAGE)
class BetaTCVAE(VAE):
    """Minimises -E[log p(x|z)] + I(z, n) + β·TC(z) + Σ_j KL(q(z_j) ‖ p(z_j)), in nats per image.

    Chen et al. 2018, eq. 2 and 4 with α = γ = 1, https://arxiv.org/abs/1802.04942. n is the index
    of a training image, q(z) = Σ_n q(z|n)/N, and

        I(z, n) = E[log q(z|n) - log q(z)]           index-code mutual information,
        TC(z) = E[log q(z) - Σ_j log q(z_j)]         total correlation,
        KL_j = E[log q(z_j) - log p(z_j)]            dimension-wise KL divergence,

    whose sum is the KL divergence of a VAE; β = 1 gives the VAE's objective. One z is drawn for
    each image, and q(z) and q(z_j) are estimated from the M images of a batch (`log_weights`).
    Posterior and likelihood are those of `VAE`. On replicas, the batch is the one of all replicas.

    Args:
        encoder: Images -> endpoints.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        images: N, the number of training images.
        tc_weight: β.
        sampling: One of `SAMPLINGS`.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: As for `Autoencoder`; or the sampling is unknown.
    """

    def __init__(
        self,
        encoder,
        decoder,
        images: int,
        tc_weight: float = 6.0,
        sampling: str = "stratified",
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, decoder, 1.0, seed, **kwargs)
        if sampling not in SAMPLINGS:
            raise ValueError(f"sampling={sampling!r}; expected one of {', '.join(SAMPLINGS)}")
        self.images = images
        self.tc_weight = tc_weight
        self.sampling = sampling

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        tfd = priors.distributions()
        endpoints = self.encoder(batch.images, training=training, random=random)
        normal = self.posterior(endpoints).distribution
        noise = self._normal.sample(
            random.uniform("posterior", tf.shape(batch.images)[0], (self.encoder.global_dim,))
        )
        codes = normal.loc + normal.scale * noise  # [n, D], this replica's

        means, stddevs = replicas.concat(normal.loc), replicas.concat(normal.scale)  # [M, D]
        log_q = tfd.Normal(means, stddevs).log_prob(codes[:, tf.newaxis])  # [n, M, D]
        count = tf.shape(codes)[0]
        own = replicas.index() * count + tf.range(count)
        weights = log_weights(self.sampling, tf.shape(means)[0], own, self.images)  # [n, M]
        log_joint = tf.reduce_logsumexp(weights + tf.reduce_sum(log_q, 2), 1)  # log q(z)
        log_marginals = tf.reduce_sum(  # Σ_j log q(z_j)
            tf.reduce_logsumexp(weights[..., tf.newaxis] + log_q, 1), 1
        )
        log_posterior = tf.reduce_sum(normal.log_prob(codes), 1)  # log q(z|n)
        log_prior = tf.reduce_sum(tfd.Normal(0.0, 1.0).log_prob(codes), 1)

        decoded = self.decoder(codes, training=training)
        likelihood = tfd.Independent(tfd.Normal(decoded, 1.0), 3).log_prob(batch.images)  # [n]
        metrics = {
            "log_likelihood": tf.reduce_mean(likelihood),
            "index_code_information": tf.reduce_mean(log_posterior - log_joint),
            "total_correlation": tf.reduce_mean(log_joint - log_marginals),
            "dimension_kl_divergence": tf.reduce_mean(log_marginals - log_prior),
        }
        loss = (
            metrics["index_code_information"]
            + self.tc_weight * metrics["total_correlation"]
            + metrics["dimension_kl_divergence"]
            - metrics["log_likelihood"]
        )
        return Losses(loss, None, metrics, endpoints["global"])

    def config(self):
        config = super().config()
        del config["kl_weight"]
        return {
            **config,
            "images": self.images,
            "tc_weight": self.tc_weight,
            "sampling": self.sampling,
        }


def log_weights(sampling: str, batch, own: tf.Tensor, images: int) -> tf.Tensor:
    """Logarithms of the weights w with which a batch estimates q(z_i) ≈ Σ_m w_im q(z_i|n_m).

    Weighted (minibatch-weighted sampling, Chen et al. 2018): w = 1/(N·M).

    Stratified (minibatch-stratified sampling, appendix C.2): w = 1/N for the image from which z_i
    was drawn, which is certainly in the batch, and (N - 1)/(N·K) for each of the K = M - 1 others,
    which are drawn without replacement from the other N - 1. The estimate of q(z_i) is unbiased.
    The paper gives 1/K to K - 1 of the others and (N - K)/(N·K) to the last. The weights here are
    the average over the choice of the last one, with the same mean and no more variance.

    Args:
        sampling: One of `SAMPLINGS`.
        batch: M.
        own: int32 [n], the batch position of the image from which each z_i was drawn.
        images: N.

    Returns:
        float32 [n, M].
    """
    size, total = tf.cast(batch, tf.float32), float(images)
    if sampling == "weighted":
        return tf.fill([tf.shape(own)[0], batch], -tf.math.log(size) - math.log(total))
    others = math.log(max(total - 1, 1) / total) - tf.math.log(size - 1)
    is_own = tf.one_hot(own, batch, on_value=True, off_value=False, dtype=tf.bool)
    return tf.where(is_own, -math.log(total), others)
