"""Terms in which a discriminator of the global feature plays against the encoder."""

import keras

from keras_models.adversary import AdversarialLosses
from keras_models.terms.base import Term, TermOutput


class FeatureGame(Term):
    """A term with a discriminator of the global feature.

    Args:
        discriminator: D, float32 [N, D] -> [N].
        penalty: λ, the gradient penalty's weight in `adversary.losses`.
        weight: Weight of the term.
    """

    def __init__(self, discriminator, penalty: float, weight: float, **kwargs):
        super().__init__(weight, **kwargs)
        self.discriminator = discriminator
        self.penalty = penalty

    @property
    def endpoints(self):
        return ("global",)

    @property
    def adversary_variables(self):
        return self.discriminator.trainable_variables

    def build(self, shapes):
        if not self.discriminator.built:
            self.discriminator.build((None, shapes["global"][-1]))
        self.built = True

    @staticmethod
    def output(losses: AdversarialLosses, name: str) -> TermOutput:
        """The losses of both players and their metrics, whose names start with `name`."""
        metrics = {
            f"{name}_encoder_loss": losses.generator_loss,
            f"{name}_divergence": losses.divergence,
            f"{name}_gradient_penalty": losses.penalty,
        }
        return TermOutput(losses.generator_loss, losses.adversary_loss, metrics)

    def get_config(self):
        return {
            **super().get_config(),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "penalty": self.penalty,
        }

    @classmethod
    def from_config(cls, config):
        discriminator = keras.saving.deserialize_keras_object(config["discriminator"])
        return cls(**{**config, "discriminator": discriminator})
