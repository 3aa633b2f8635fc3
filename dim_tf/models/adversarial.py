"""Settings of the adversarial matching of codes with a prior."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.models.base import ModelSettings
from dim_tf.registry import PRIOR_DIVERGENCES, PRIORS
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from keras_models.encoders import Encoder
    from keras_models.terms import PriorMatching


@dataclass(frozen=True)
class WithPrior(ModelSettings):
    """Settings of a model with a prior and a discriminator of its samples."""

    prior: str = config_field("uniform", "Prior of the codes.", choices=PRIORS)
    prior_penalty: float = config_field(
        1.0, "Weight of the discriminator's gradient penalty.", minimum=0
    )


@dataclass(frozen=True)
class WithPriorDivergence(WithPrior):
    """Settings of a model whose discriminator estimates a divergence from the prior."""

    prior_divergence: str = config_field(
        "gan",
        "Divergence that the prior's discriminator estimates.",
        choices=(*PRIOR_DIVERGENCES, "kl"),
    )

    def check(self):
        """Checks that a divergence that needs a gradient penalty has one."""
        if self.prior_divergence == "wgan_gp" and not self.prior_penalty:
            raise InputError(
                f"--{self.PREFIX}prior_divergence=wgan_gp is bounded by its gradient penalty "
                f"alone; give --{self.PREFIX}prior_penalty more than 0, such as 10, or take another"
            )

    def prior_matching(self, encoder: "Encoder", weight: float) -> "PriorMatching":
        """The term that matches the encoder's global feature with the prior."""
        from keras_models import terms

        return terms.prior_matching(
            self.prior, encoder.global_dim, self.prior_divergence, self.prior_penalty, weight
        )
