"""SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

from dataclasses import dataclass

from dim_tf.models.base import AugmentedViews
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class SimCLR(AugmentedViews):
    """NT-Xent, the contrastive loss of two views."""

    NAME = "simclr"
    PREFIX = "simclr."
    LEARNED = "from unlabelled images by SimCLR (Chen et al. 2020)"

    temperature: float = config_field(0.5, "Temperature of the softmax.", above=0)
    hidden_units: tuple[int, ...] = config_field(
        (512,), "Units of each hidden layer of the projector.", minimum=1, maximum=2**16
    )
    projected_units: int = config_field(
        128, "Units of the projector's output.", minimum=1, maximum=2**16
    )

    def make(self, encoder, splits, experiment):
        """SimCLR as Deep InfoMax's model with the term NT-Xent."""
        from keras_models import terms

        term = terms.NTXent(
            self.temperature,
            self.hidden_units,
            self.projected_units,
            synchronized=encoder.synchronized,
        )
        return self.comparing(term, encoder, experiment)
