"""The model of a fitted encoder, which its checkpoint stores."""

import keras


class FittedEncoder(keras.Model):
    """An encoder whose weights are assigned and not trained.

    It has no objective, so it is not an `ObjectiveModel`.

    Args:
        encoder: Images -> endpoints.
    """

    def __init__(self, encoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder

    def build(self, input_shape=None):
        """Builds the encoder."""
        if not self.encoder.built:
            self.encoder.build()
        self.built = True

    def call(self, images, training=False):
        """Images [N, H, W, C] in [-1, 1] -> the encoder's endpoints."""
        return self.encoder(images, training=training)
