"""Keras models that tests of backbone encoders share."""

import keras

SHAPE = (16, 16, 3)


def residual_net(shape=SHAPE):
    """8x8 maps in a residual block, then 4x4 ones."""
    images = keras.Input(shape)
    x = keras.layers.Conv2D(6, 3, 2, "same", name="stem")(images)
    y = keras.layers.BatchNormalization(name="norm")(x)
    y = keras.layers.Conv2D(6, 3, 1, "same", name="branch")(y)
    x = keras.layers.Add(name="sum")([x, y])
    y = keras.layers.ReLU(name="inner")(x)
    y = keras.layers.Conv2D(8, 3, 2, "same", name="down")(y)
    shortcut = keras.layers.Conv2D(8, 1, 2, name="shortcut")(x)
    x = keras.layers.Add(name="sum2")([shortcut, y])
    return keras.Model(images, keras.layers.ReLU(name="last")(x), name="net")


def of_any_size():
    images = keras.Input((None, None, 3))
    return keras.Model(images, keras.layers.Conv2D(4, 3, 2)(images), name="any")


def of_dtype(dtype):
    images = keras.Input(SHAPE, dtype=dtype)
    x = keras.layers.Rescaling(1 / 255)(images)
    return keras.Model(images, keras.layers.Conv2D(4, 3, 2)(x), name="whole")
