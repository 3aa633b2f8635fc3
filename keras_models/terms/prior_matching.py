"""Prior matching: the global feature's distribution is made that of a prior, adversarially."""

import keras
import tensorflow as tf

from keras_models import critics, discriminator, estimators, layers, priors
from keras_models.randomness import StepRandom
from keras_models.terms.output import TermOutput


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PriorMatching(keras.layers.Layer):
    """Adversarial matching of the global feature with a prior (section 3.3, eq. 7).

    The discriminator maximises the Jensen-Shannon estimator between prior samples and encoded
    ones, less ½·penalty·(mean over prior samples + mean over encoded samples) of its squared
    gradient norm (Mescheder et al. 2018). The encoder minimises the non-saturating loss,
    softplus(-D). Only the discriminator sees the feature mapped into the prior's support.

    Args:
        prior: target distribution.
        discriminator: D.
        penalty: λ of the gradient penalty.
        weight: γ.
    """

    def __init__(self, prior, discriminator, penalty: float = 1.0, weight: float = 1.0, **kwargs):
        kwargs.setdefault("name", "prior_matching")
        super().__init__(**kwargs)
        self.prior = prior
        self.discriminator = discriminator
        self.penalty = penalty
        self.weight = weight

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def build(self, local_shapes, global_shapes):
        del local_shapes
        if not self.discriminator.built:
            self.discriminator.build(global_shapes["global"])
        self.built = True

    def call(self, local_endpoints, global_endpoints, random: StepRandom) -> TermOutput:
        features = tf.cast(global_endpoints["global"], tf.float32)  # [N, D]
        n = tf.shape(features)[0]
        real = self.prior.sample(random.uniform("prior", n, (self.prior.dim,)))
        encoded = self.prior.to_support(features)

        real_scores, real_norm = self._scores_and_gradient_norm(real)
        scores, norm = self._scores_and_gradient_norm(tf.stop_gradient(encoded))
        pairs = critics.PairScores(
            joint=real_scores[:, tf.newaxis, tf.newaxis],
            product=scores[:, tf.newaxis, tf.newaxis, tf.newaxis],
        )
        divergence = estimators.jensen_shannon(pairs)
        penalty = 0.5 * self.penalty * (tf.reduce_mean(real_norm) + tf.reduce_mean(norm))

        encoder_loss = tf.reduce_mean(tf.nn.softplus(-self.discriminator(encoded)))
        metrics = {
            "prior_encoder_loss": encoder_loss,
            "prior_divergence": divergence,
            "prior_gradient_penalty": penalty,
        }
        return TermOutput(encoder_loss, penalty - divergence, metrics)

    def _scores_and_gradient_norm(self, inputs):
        """D(x) [N] and ‖∇ₓ D(x)‖² [N]."""
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            scores = self.discriminator(inputs)
        gradients = tf.cast(tape.gradient(scores, inputs), tf.float32)
        return scores, tf.reduce_sum(gradients**2, axis=-1)

    def get_config(self):
        return {
            "name": self.name,
            "prior": keras.saving.serialize_keras_object(self.prior),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "penalty": self.penalty,
            "weight": self.weight,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            key: keras.saving.deserialize_keras_object(config[key])
            for key in ("prior", "discriminator")
        }
        return cls(**{**config, **parts})


def prior_matching(
    prior: str, dim: int, penalty: float = 1.0, weight: float = 1.0
) -> PriorMatching:
    """Prior matching with the paper's discriminator, the prior made by name."""
    made = discriminator.Discriminator(name="discriminator")
    return PriorMatching(priors.get(prior, dim), made, penalty, weight)
