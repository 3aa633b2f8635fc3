"""Deep embedded clustering (Xie et al. 2016, https://arxiv.org/abs/1511.06335)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.clusters import WithClusters
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class DeepEmbeddedClustering(WithClusters):
    """An autoencoder whose features are then pulled towards their clusters' centroids."""

    NAME = "dec"
    PREFIX = "dec."
    LEARNED = "from unlabelled images by deep embedded clustering (Xie et al. 2016)"

    pretraining_steps: int = config_field(
        3900, "First steps, in which the autoencoder is trained.", minimum=1
    )
    refresh_steps: int = config_field(
        560, "Steps between two computations of the target distribution.", minimum=1
    )

    def make(self, encoder, splits, experiment):
        """DEC, with a target for each training image."""
        from keras_models.clustering.dec import DEC

        return DEC(
            encoder,
            decoder_of(encoder, "decoder"),
            self.number_of_clusters(splits),
            len(splits.train),
            self.pretraining_steps,
            self.refresh_steps,
            experiment.training.seed,
            name="dec",
        )

    def left_out(self, last_step):
        """The clustering, if the pretraining takes all steps."""
        if last_step > self.pretraining_steps:
            return ""
        return (
            f"clustering begins after step {self.pretraining_steps:,}, so this run has none; give "
            f"fewer --{self.PREFIX}pretraining_steps, or more --epochs or --steps"
        )
