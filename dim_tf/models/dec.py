"""Deep embedded clustering (Xie et al. 2016, https://arxiv.org/abs/1511.06335)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.clusters import WithClusters
from dim_tf.settings.config_field import config_field
from dim_tf.system.console import say


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
        """DEC, with a target for each training image; says so if the run ends before clustering."""
        from keras_models.clustering.dec import DEC

        self._say_if_too_short(splits, experiment)
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

    def _say_if_too_short(self, splits, experiment):
        from dim_tf.training import schedule

        try:
            last = schedule.last_step(experiment, splits)
        except ValueError:  # of --minutes, not known yet
            return
        if last <= self.pretraining_steps:
            say(
                f"{self.NAME}: the run ends at step {last:,}, and clustering begins after step "
                f"{self.pretraining_steps:,}; give fewer --{self.PREFIX}pretraining_steps, or more "
                "--epochs or --steps, for clusters"
            )
