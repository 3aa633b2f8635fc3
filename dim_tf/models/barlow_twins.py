"""Barlow Twins (Zbontar et al. 2021, https://arxiv.org/abs/2103.03230)."""

from dataclasses import dataclass

from dim_tf.models.base import AugmentedViews
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class BarlowTwins(AugmentedViews):
    """The cross-correlation of two views is made the identity."""

    NAME = "barlow_twins"
    PREFIX = "barlow_twins."
    LEARNED = "from unlabelled images by Barlow Twins (Zbontar et al. 2021)"

    redundancy: float = config_field(
        0.005, "Weight of the correlations off the diagonal, λ.", minimum=0
    )
    hidden_units: tuple[int, ...] = config_field(
        (1024, 1024), "Units of each hidden layer of the projector.", minimum=1, maximum=2**16
    )
    projected_units: int = config_field(
        1024, "Units of the projector's output.", minimum=2, maximum=2**16
    )

    def make(self, encoder, splits, experiment):
        """Barlow Twins as Deep InfoMax's model with its term."""
        from keras_models import terms

        term = terms.BarlowTwins(
            self.hidden_units,
            self.projected_units,
            self.redundancy,
            synchronized=encoder.synchronized,
        )
        return self.comparing(term, encoder, experiment)
