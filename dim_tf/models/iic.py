"""Invariant information clustering (Ji et al. 2019, https://arxiv.org/abs/1807.06653)."""

from dataclasses import dataclass

from dim_tf.models.base import AugmentedViews
from dim_tf.models.clusters import WithClusters
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class InvariantInformationClustering(AugmentedViews, WithClusters):
    """Maximizes the mutual information of the clusters of two views."""

    NAME = "iic"
    PREFIX = "iic."
    LEARNED = "from unlabelled images by invariant information clustering (Ji et al. 2019)"

    overclusters: int = config_field(
        70, "Clusters of the auxiliary head; 0: no such head.", minimum=0, maximum=2**16
    )
    sub_heads: int = config_field(
        5, "Sub-heads of each head, which differ in their first weights.", minimum=1, maximum=1000
    )

    def make(self, encoder, splits, experiment):
        """IIC of two augmented views."""
        from keras_models.clustering.iic import IIC

        return IIC(
            encoder,
            self.number_of_clusters(splits),
            self.overclusters,
            self.sub_heads,
            self.two_views(experiment.augmentation),
            experiment.training.seed,
            name="iic",
        )
