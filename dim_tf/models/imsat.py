"""IMSAT (Hu et al. 2017, https://arxiv.org/abs/1702.08720)."""

from dataclasses import dataclass

from dim_tf.models.base import AugmentedViews
from dim_tf.models.clusters import WithClusters
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class SelfAugmentedTraining(AugmentedViews, WithClusters):
    """The mutual information of images and clusters; changes of an image must keep its cluster."""

    NAME = "imsat"
    PREFIX = "imsat."
    LEARNED = (
        "from unlabelled images by information maximizing self-augmented training, IMSAT "
        "(Hu et al. 2017)"
    )

    invariance: str = config_field(
        "adversarial",
        "Change of an image that must not change its cluster: adversarial, a virtual adversarial "
        "perturbation; augmentation, a random view.",
        choices=("adversarial", "augmentation"),
    )
    information_weight: float = config_field(0.1, "Weight of the mutual information, λ.", minimum=0)
    marginal_weight: float = config_field(
        4.0, "Weight of the clusters' entropy in the mutual information, μ.", minimum=0
    )
    radius: float = config_field(
        0.25,
        "Length of the adversarial perturbation, as a fraction of the distance of an image from "
        "its 10th neighbour in the batch.",
        above=0,
    )

    @property
    def has_two_views(self):
        """Whether the model makes an augmented view of each image."""
        return self.invariance == "augmentation"

    @property
    def without_effect(self):
        """The settings of the invariance that was not chosen."""
        unread = {
            "adversarial": ("min_crop_scale", "color_jitter_strength"),
            "augmentation": ("radius",),
        }[self.invariance]
        return {
            self.PREFIX + name: f"--{self.PREFIX}invariance is {self.invariance}"
            for name in unread
            if getattr(self, name) != self.default(self.PREFIX + name)
        }

    def make(self, encoder, splits, experiment):
        """IMSAT with the chosen invariance."""
        from keras_models.clustering.imsat import IMSAT

        views = self.two_views(experiment.augmentation) if self.has_two_views else None
        return IMSAT(
            encoder,
            self.number_of_clusters(splits),
            self.information_weight,
            self.marginal_weight,
            self.radius,
            views,
            experiment.training.seed,
            name="imsat",
        )
