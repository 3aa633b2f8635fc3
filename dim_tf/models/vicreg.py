"""VICReg (Bardes et al. 2022, https://arxiv.org/abs/2105.04906)."""

from dataclasses import dataclass

from dim_tf.models.base import AugmentedViews
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class VICReg(AugmentedViews):
    """Variance, invariance and covariance of two views."""

    NAME = "vicreg"
    PREFIX = "vicreg."
    LEARNED = "from unlabelled images by VICReg (Bardes et al. 2022)"

    invariance: float = config_field(25.0, "Weight of the invariance, λ.", minimum=0)
    variance: float = config_field(25.0, "Weight of the variance, μ.", minimum=0)
    covariance: float = config_field(1.0, "Weight of the covariance, ν.", minimum=0)
    hidden_units: tuple[int, ...] = config_field(
        (1024, 1024), "Units of each hidden layer of the projector.", minimum=1, maximum=2**16
    )
    projected_units: int = config_field(
        1024, "Units of the projector's output.", minimum=2, maximum=2**16
    )

    def make(self, encoder, splits, experiment):
        """VICReg as Deep InfoMax's model with its term."""
        from keras_models import terms

        term = terms.VICReg(
            self.hidden_units,
            self.projected_units,
            self.invariance,
            self.variance,
            self.covariance,
            synchronized=encoder.synchronized,
        )
        return self.comparing(term, encoder, experiment)
