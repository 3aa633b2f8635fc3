"""Deep adaptive clustering (Chang et al. 2017).

https://openaccess.thecvf.com/content_iccv_2017/html/Chang_Deep_Adaptive_Image_ICCV_2017_paper.html
"""

from dataclasses import dataclass

from dim_tf.models.clusters import WithClusters
from dim_tf.settings.config_field import config_field


@dataclass(frozen=True)
class DeepAdaptiveClustering(WithClusters):
    """Labels pairs of images by the cosine of their features, with thresholds that move."""

    NAME = "dac"
    PREFIX = "dac."
    LEARNED = "from unlabelled images by deep adaptive clustering (Chang et al. 2017)"

    threshold_steps: int = config_field(
        0, "Steps between two changes of the thresholds; 0: an epoch.", minimum=0
    )
    threshold_rate: float = config_field(
        0.009, "Step size of the thresholds, η.", minimum=0, maximum=1
    )

    def make(self, encoder, splits, experiment):
        """DAC of the images of a batch."""
        from keras_models.clustering.dac import DAC

        epoch = max(1, len(splits.train) // experiment.training.batch_size)
        return DAC(
            encoder,
            self.number_of_clusters(splits),
            self.threshold_steps or epoch,
            self.threshold_rate,
            experiment.training.seed,
            name="dac",
        )
