"""ALI (Dumoulin et al. 2017, https://arxiv.org/abs/1606.00704)."""

from dataclasses import dataclass

from dim_tf.models.autoencoder import decoder_of
from dim_tf.models.bigan import WithPairs


@dataclass(frozen=True)
class ALIModel(WithPairs):
    """A discriminator of (image, sample of its posterior) and (generated image, prior sample)."""

    NAME = "ali"
    PREFIX = "ali."
    LEARNED = (
        "from unlabelled images by adversarially learned inference (ALI, Dumoulin et al. 2017)"
    )

    def make(self, encoder, splits, experiment):
        """ALI, with a generator of images of the encoder's size."""
        from keras_models.generative.ali import ALI

        return ALI(
            encoder,
            decoder_of(encoder, "generator"),
            self.pair_discriminator(encoder),
            self.prior_penalty,
            experiment.training.seed,
            reconstruction=self.reconstruction,
            name="ali",
        )
