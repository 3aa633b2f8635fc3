"""Prior matching: adversarial training makes the global feature's distribution a prior's."""

import keras

from keras_models import adversary, priors
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.nn.discriminators import Discriminator
from keras_models.terms.base import TermOutput
from keras_models.terms.feature_game import FeatureGame


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PriorMatching(FeatureGame):
    """Adversarial matching of the global feature with a prior (section 3.3, eq. 7).

    The losses of both players are those of `adversary.losses`. Only the discriminator sees the
    feature mapped into the prior's support. Several globals of an image are separate samples.

    Args:
        prior: Target distribution.
        discriminator: D.
        divergence: A name of `adversary.NAMES`: the divergence that the discriminator estimates.
        penalty: λ of the gradient penalty.
        weight: γ.

    Raises:
        ValueError: Unknown divergence, or `wgan_gp` without a penalty; when built, the prior and
            the global feature differ in their number of dimensions.
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
        super().__init__(discriminator, penalty, weight, **kwargs)
        self.prior = prior
        self.divergence = adversary.get(divergence)
        adversary.check_penalty(self.divergence, penalty)

    def build(self, shapes):
        priors.check_dim(self.prior, shapes["global"][-1])
        super().build(shapes)

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del context, training
        real, encoded = priors.samples_and_features(self.prior, query["global"], random)
        losses = adversary.losses(
            self.discriminator, real, encoded, self.divergence, self.penalty, random
        )
        return self.output(losses, "prior")

    def get_config(self):
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "divergence": self.divergence.name,
        }

    @classmethod
    def from_config(cls, config):
        prior = keras.saving.deserialize_keras_object(config["prior"])
        return super().from_config({**config, "prior": prior})


def prior_matching(
    prior: str,
    dim: int,
    divergence: str = "gan",
    penalty: float = 1.0,
    weight: float = 1.0,
) -> PriorMatching:
    """Prior matching with the paper's discriminator and a named prior.

    Args:
        prior: A name of `priors.NAMES`.
        dim: D, units of the global feature.
        divergence: A name of `adversary.NAMES`.
        penalty: λ.
        weight: γ.
    """
    discriminator = Discriminator(name="discriminator")
    return PriorMatching(priors.get(prior, dim), discriminator, divergence, penalty, weight)
