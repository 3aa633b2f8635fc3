"""Noise As Targets (Bojanowski & Joulin 2017, https://arxiv.org/abs/1704.05310)."""

from dataclasses import dataclass

from dim_tf.models.base import ModelSettings


@dataclass(frozen=True)
class NAT(ModelSettings):
    """Features are matched one to one with fixed targets on the sphere."""

    NAME = "nat"
    PREFIX = "nat."
    LEARNED = "from unlabelled images by Noise As Targets (Bojanowski & Joulin 2017)"

    def make(self, encoder, splits, experiment):
        """Noise As Targets, with a target for each training image."""
        from keras_models.clustering.nat import NoiseAsTargets

        return NoiseAsTargets(encoder, len(splits.train), experiment.training.seed, name="nat")
