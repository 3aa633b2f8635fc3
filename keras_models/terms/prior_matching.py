"""Prior matching: the global feature's distribution is made that of a prior, adversarially."""

import math

import keras
import tensorflow as tf

from keras_models import adversary, estimators, priors
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.nn.discriminators import Discriminator
from keras_models.terms.output import TermOutput


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PriorMatching(keras.layers.Layer):
    """Adversarial matching of the global feature with a prior (section 3.3, eq. 7).

    Both players' losses are those of `adversary.losses`. Only the discriminator sees the feature
    mapped into the prior's support. Several globals of an image are samples like any other.

    Args:
        prior: target distribution.
        discriminator: D.
        divergence: a name of `estimators.NAMES`, what the discriminator estimates.
        penalty: λ of the gradient penalty.
        weight: γ.
    """

    def __init__(
        self,
        prior,
        discriminator,
        divergence: str = "gan",
        penalty: float = 1.0,
        weight: float = 1.0,
        **kwargs,
    ):
        kwargs.setdefault("name", "prior_matching")
        super().__init__(**kwargs)
        self.prior = prior
        self.discriminator = discriminator
        self.divergence = estimators.get(divergence)
        self.penalty = penalty
        self.weight = weight

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def build(self, local_shapes, global_shapes):
        del local_shapes
        dim = global_shapes["global"][-1]
        if dim != self.prior.dim:
            raise ValueError(
                f"the prior has {self.prior.dim} dimensions, the global feature {dim}; make it "
                f"with priors.get(name, {dim})"
            )
        if not self.discriminator.built:
            self.discriminator.build((None, dim))
        self.built = True

    def call(
        self, local_endpoints, global_endpoints, random: StepRandom, training: bool = True
    ) -> TermOutput:
        del training
        features = tf.cast(global_endpoints["global"], tf.float32)
        globals_ = math.prod(features.shape[1:-1])
        noise = random.uniform("prior", tf.shape(features)[0], (globals_, self.prior.dim))
        real = self.prior.sample(tf.reshape(noise, [-1, self.prior.dim]))
        encoded = self.prior.to_support(tf.reshape(features, [-1, self.prior.dim]))
        found = adversary.losses(self.discriminator, real, encoded, self.divergence, self.penalty)
        metrics = {
            "prior_encoder_loss": found.maker_loss,
            "prior_divergence": found.divergence,
            "prior_gradient_penalty": found.penalty,
        }
        return TermOutput(found.maker_loss, found.adversary_loss, metrics)

    def get_config(self):
        return {
            "name": self.name,
            "prior": keras.saving.serialize_keras_object(self.prior),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "divergence": self.divergence.name,
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
    prior: str,
    dim: int,
    divergence: str = "gan",
    penalty: float = 1.0,
    weight: float = 1.0,
) -> PriorMatching:
    """Prior matching with the paper's discriminator, the prior made by name.

    Args:
        prior: a name of `priors.NAMES`.
        dim: D of the global feature.
        divergence: a name of `estimators.NAMES`.
        penalty: λ.
        weight: γ.
    """
    made = Discriminator(name="discriminator")
    return PriorMatching(priors.get(prior, dim), made, divergence, penalty, weight)
