"""A small Keras model like those of users: batch norm and dropout, maps of 8x8 and 4x4."""

import keras

from keras_models.encoders import BackboneEncoder

SIZE = 16
CHANNELS = 8  # of conv, whose map is 4x4


def net(shape=(SIZE, SIZE, 3), filters=6, dropout=0.0):
    """A functional model with weights drawn from Keras' seed."""
    images = keras.Input(shape)
    x = keras.layers.Conv2D(filters, 3, 2, "same", name="stem")(images)
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="early")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Conv2D(CHANNELS, 3, 2, "same", name="down")(x)
    x = keras.layers.BatchNormalization(name="down_norm")(x)
    return keras.Model(images, keras.layers.ReLU(name="late")(x), name="net")


def write(path, seed=0, **arguments):
    """Writes a net to a .keras file; returns the net."""
    keras.utils.set_random_seed(seed)
    model = net(**arguments)
    model.save(path)
    return model


def small_backbone_encoder(seed=0, **settings):
    """Built, with dropout: local 8x8x6, conv 4x4x8, fc 8, global 5."""
    keras.utils.set_random_seed(seed)
    encoder = BackboneEncoder(net(dropout=0.5), latent_dim=5, **settings)
    encoder.build()
    return encoder
