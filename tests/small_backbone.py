"""A small Keras model as an encoder, with what pretrained ones have: batch norm and dropout."""

import keras

from keras_models.encoders import BackboneEncoder

SIZE = 16
CHANNELS = 8  # of conv, whose map is 4x4


def backbone(size=SIZE, channels=CHANNELS):
    """A functional one, its weights drawn from Keras' seed."""
    images = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(6, 3, 2, "same", name="stem")(images)
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = keras.layers.Dropout(0.5, name="drop")(x)
    x = keras.layers.Conv2D(channels, 3, 2, "same", name="down")(x)
    return keras.Model(images, keras.layers.ReLU(name="last")(x), name="small_backbone")


def small_backbone_encoder(seed=0, **settings):
    """Built: local 8x8x6, conv 4x4x8, fc 8, global 5."""
    keras.utils.set_random_seed(seed)
    encoder = BackboneEncoder(backbone(), latent_dim=5, **settings)
    encoder.build()
    return encoder
