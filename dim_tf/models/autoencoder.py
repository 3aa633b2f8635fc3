"""The autoencoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dim_tf.models.base import ModelSettings

if TYPE_CHECKING:
    from keras_models.encoders import Encoder
    from keras_models.nn.decoders import Decoder


@dataclass(frozen=True)
class AutoencoderModel(ModelSettings):
    """The mean squared error of decoded codes."""

    NAME = "ae"
    PREFIX = "ae."
    LEARNED = "from unlabelled images as an autoencoder"

    def make(self, encoder, splits, experiment):
        """The autoencoder of images as large as the encoder's."""
        from keras_models.generative.autoencoder import Autoencoder

        decoder = decoder_of(encoder, "decoder")
        return Autoencoder(encoder, decoder, experiment.training.seed, name="autoencoder")


def decoder_of(encoder: "Encoder", name: str, code_size: int = 0) -> "Decoder":
    """The decoder to the encoder's images.

    Args:
        encoder: Of images of that shape.
        name: The decoder's name.
        code_size: Numbers of a code; 0: as many as the global feature has.
    """
    from keras_models.nn import decoders

    filters = decoders.filters_for(encoder.image_shape)
    size = code_size or encoder.global_dim
    return decoders.Decoder(encoder.image_shape, size, filters, encoder.synchronized, name=name)
