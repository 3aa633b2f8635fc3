"""Prior matching: adversarial training makes the global feature's distribution a prior's."""

import keras

from keras_models import adversary, priors
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.nn.discriminators import Discriminator
from keras_models.terms.base import Term, TermOutput


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PriorMatching(Term):
    """Adversarial matching of the global feature with a prior (section 3.3, eq. 7).

    The losses of both players are those of `adversary.losses`. Only the discriminator sees the
    feature mapped into the prior's support. Several globals of an image are separate samples.

    Args:
        prior: Target distribution.
        discriminator: D.
        divergence: A name of `adversary.NAMES`, which the discriminator estimates.
        penalty: λ of the gradient penalty.
        weight: γ.

    Raises:
        ValueError: Unknown divergence, or `wgan_gp` without a penalty; when built, the prior has
            another number of dimensions than the global feature.
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
        super().__init__(weight, **kwargs)
        self.prior = prior
        self.discriminator = discriminator
        self.divergence = adversary.get(divergence)
        self.penalty = penalty
        adversary.check_penalty(self.divergence, penalty)

    @property
    def endpoints(self):
        return ("global",)

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def build(self, shapes):
        dim = shapes["global"][-1]
        priors.check_dim(self.prior, dim)
        if not self.discriminator.built:
            self.discriminator.build((None, dim))
        self.built = True

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del context, training
        real, encoded = priors.samples_and_features(self.prior, query["global"], random)
        losses = adversary.losses(
            self.discriminator, real, encoded, self.divergence, self.penalty, random
        )
        metrics = {
            "prior_encoder_loss": losses.generator_loss,
            "prior_divergence": losses.divergence,
            "prior_gradient_penalty": losses.penalty,
        }
        return TermOutput(losses.generator_loss, losses.adversary_loss, metrics)

    def get_config(self):
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "divergence": self.divergence.name,
            "penalty": self.penalty,
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
    """Prior matching with the paper's discriminator and a prior by name.

    Args:
        prior: A name of `priors.NAMES`.
        dim: D, units of the global feature.
        divergence: A name of `adversary.NAMES`.
        penalty: λ.
        weight: γ.
    """
    discriminator = Discriminator(name="discriminator")
    return PriorMatching(priors.get(prior, dim), discriminator, divergence, penalty, weight)
