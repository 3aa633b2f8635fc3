"""Settings of models that assign each image to a cluster."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from dim_tf.data.splits import Splits


@dataclass(frozen=True)
class WithClusters(ModelSettings):
    """Settings of a model with a fixed number of clusters."""

    clusters: int = config_field(
        0, "Number of clusters; 0: the number of classes of the images.", minimum=0, maximum=2**16
    )

    def number_of_clusters(self, splits: "Splits") -> int:
        """K, the number of clusters for these images.

        Raises:
            InputError: It is not given and the images have no classes, or it is 1.
        """
        classes = 0 if splits.multi_label else len(splits.label_names)
        if not self.clusters and classes < 2:
            raise InputError(
                f"--model={self.NAME} takes the number of clusters from the classes, and "
                f"{splits.name} has {classes or 'none'}; give --{self.PREFIX}clusters"
            )
        if self.clusters == 1:
            raise InputError(f"--{self.PREFIX}clusters=1; expected 0, or at least 2")
        return self.clusters or classes
