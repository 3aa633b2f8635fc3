"""Flows as density models: NICE (Dinh et al. 2015) and RealNVP (Dinh et al. 2017)."""

from dataclasses import dataclass

from dim_tf.models.base import ModelSettings
from dim_tf.registry import LATENT_PRIORS
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError


@dataclass(frozen=True)
class _FlowDensity(ModelSettings):
    """A density model of images, whose invertible encoder has the model's name."""

    def make(self, encoder, splits, experiment):
        """The density model, for images of the encoder's size."""
        from keras_models.generative.flow import FlowDensity

        return FlowDensity(encoder, self.latent_prior, experiment.training.seed, name=self.NAME)

    @property
    def latent_prior(self) -> str:
        """The distribution of the latent's numbers, one of `LATENT_PRIORS`."""
        return "gaussian"

    def check_encoder(self, encoder):
        """Checks that the encoder is the model's own."""
        if encoder.name not in ("", self.NAME):
            raise InputError(
                f"--model={self.NAME} is its own encoder, and cannot train {encoder.name}; leave "
                "--encoder out"
            )


@dataclass(frozen=True)
class NICEModel(_FlowDensity):
    """Additive couplings, which preserve volume up to a scaling."""

    NAME = "nice"
    PREFIX = "nice."
    LEARNED = "from unlabelled images as a density model of them, NICE (Dinh et al. 2015)"

    prior: str = config_field(
        "logistic", "Distribution of the latent's numbers.", choices=LATENT_PRIORS
    )

    @property
    def latent_prior(self):
        """The prior in its settings."""
        return self.prior


@dataclass(frozen=True)
class RealNVPModel(_FlowDensity):
    """Affine couplings at several scales."""

    NAME = "realnvp"
    PREFIX = "realnvp."
    LEARNED = "from unlabelled images as a density model of them, RealNVP (Dinh et al. 2017)"
