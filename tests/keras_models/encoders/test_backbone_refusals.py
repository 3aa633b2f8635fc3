"""Models that cannot be a backbone are refused, with a reason."""

import keras
import numpy as np
import pytest
from backbone_nets import SHAPE, of_any_size, of_dtype, residual_net

from keras_models.encoders import BackboneEncoder


class Subclassed(keras.Model):
    def call(self, images):
        return images


def two_inputs():
    images = [keras.Input(SHAPE), keras.Input(SHAPE)]
    return keras.Model(images, keras.layers.Add()(images), name="two")


def named(name):
    images = keras.Input(SHAPE)
    return keras.Model(images, keras.layers.Conv2D(4, 3, 2, name=name)(images), name="named")


def of_four_channels():
    images = keras.Input((16, 16, 4))
    return keras.Model(images, keras.layers.Conv2D(4, 3, 2)(images), name="four")


def of_batches():
    images = keras.Input(batch_shape=(4, *SHAPE))
    return keras.Model(images, keras.layers.Conv2D(4, 3, 2)(images), name="batches")


def nothing():
    images = keras.Input(SHAPE)
    return keras.Model(images, images, name="nothing")


def flat():
    images = keras.Input(SHAPE)
    return keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)), name="flat")


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (lambda: Subclassed(name="mine"), {}, "mine is no functional Keras model"),
        (two_inputs, {}, r"two takes inputs of shape \(None, 16, 16, 3\), \(None"),
        (of_any_size, {}, "any takes images of any size; give image_shape"),
        (
            residual_net,
            {"image_shape": (32, 32, 3)},
            "net takes images of 16x16 pixels and 3 channels, not of 32x32 .*--image_size=16",
        ),
        (flat, {}, "no layer of flat has a map"),
        (residual_net, {"local_layer": "stam"}, "has no layer 'stam' with a map; .*last"),
        (residual_net, {"head": "deep"}, "head 'deep'; expected one of linear, mlp"),
        (residual_net, {"batch_norm": "eval"}, "batch_norm 'eval'; expected one of"),
        (residual_net, {"input_scaling": "bgr"}, "input_scaling 'bgr'; expected one of"),
        (residual_net, {"input_scaling": (1, 2, 3)}, "expected .offset, scale"),
        (residual_net, {"input_scaling": ([1, 2], 1)}, "expected a number or 3"),
        (residual_net, {"input_scaling": (0, 0)}, "a scale of 0"),
        *(
            (residual_net, {"input_scaling": scaling}, "input_scaling .*; expected .*numbers")
            for scaling in (5, None, ("a", "b"), (np.nan, 1), (0, np.inf), (1e39, 1), (1, 1e-50))
        ),
        (of_four_channels, {}, "'-1..1' is for images of 1 or 3 channels, not 4"),
        (lambda: of_dtype("int8"), {}, "whole takes int8, which does not hold pixels of 0..255"),
        (of_batches, {}, "batches takes batches of 4 images; build it for any number"),
        (nothing, {}, "no layer of nothing has a map"),
        (lambda: keras.Sequential([keras.layers.Conv2D(4, 3)]), {}, "build it from keras.Input"),
        (lambda: named("a.b c:1"), {}, "TensorFlow takes no layer of the name 'a.b c:1'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(make, settings, message):
    with pytest.raises(ValueError, match=message):
        BackboneEncoder(make(), **settings)
