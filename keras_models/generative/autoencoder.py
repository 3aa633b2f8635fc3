"""The autoencoder: images are decoded from their global feature."""

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import (
    EncoderModel,
    check_makes_images_of,
    one_global,
)
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Autoencoder(EncoderModel):
    """Minimises the squared error of the decoded image, averaged over pixels and channels.

    Args:
        encoder: Images -> endpoints; the global feature is the code.
        decoder: Codes [N, D] -> images in [-1, 1], of the encoder's shape.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: The decoder outputs images of another shape; when built, the encoder has several
            globals.
    """

    def __init__(self, encoder, decoder, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        check_makes_images_of(encoder, decoder)
        self.decoder = decoder

    def build_heads(self, shapes):
        one_global(shapes)
        if not self.decoder.built:
            self.decoder.build()

    def squared_error(self, images, codes, training: bool = True) -> tf.Tensor:
        """float32 scalar: the mean of (images - decoded codes)²."""
        return tf.reduce_mean((images - self.decoder(codes, training=training)) ** 2)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        endpoints = self.encoder(batch.images, training=training, random=random)
        codes = tf.cast(endpoints["global"], tf.float32)
        return Losses(self.squared_error(batch.images, codes, training), None, {}, codes)

    def config(self):
        return {"decoder": self.decoder}
