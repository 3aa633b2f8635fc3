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
        """The autoencoder, for images of the encoder's size."""
        from keras_models.generative.autoencoder import Autoencoder

        decoder = decoder_of(encoder, "decoder")
        return Autoencoder(encoder, decoder, experiment.training.seed, name="autoencoder")


def decoder_of(encoder: "Encoder", name: str, code_size: int = 0) -> "Decoder":
    """The decoder to images of the encoder's size.

    Args:
        encoder: The encoder whose image shape the decoder has.
        name: The decoder's name.
        code_size: Numbers in a code; 0: as many as in the global feature.
    """
    from keras_models.nn import decoders

    filters = decoders.filters_for(encoder.image_shape)
    size = code_size or encoder.global_dim
    return decoders.Decoder(encoder.image_shape, size, filters, encoder.synchronized, name=name)
