"""A small Keras model, as users bring them, for the tests of backbones."""

import keras


def net(shape=(16, 16, 3), filters=6, dropout=0.0):
    """8x8 and 4x4 maps, batch norm, dropout."""
    images = keras.Input(shape)
    x = keras.layers.Conv2D(filters, 3, 2, "same", name="stem")(images)
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="early")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Conv2D(8, 3, 2, "same", name="down")(x)
    x = keras.layers.BatchNormalization(name="down_norm")(x)
    return keras.Model(images, keras.layers.ReLU(name="late")(x), name="net")


def write(path, seed=0, **arguments):
    """Writes a net to a .keras file; the net."""
    keras.utils.set_random_seed(seed)
    model = net(**arguments)
    model.save(path)
    return model
