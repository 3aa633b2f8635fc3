"""Where two Keras models differ, whatever their layers are called."""

import copy

import keras
import pytest
import small_backbone

from dim_tf.training.architecture import first_difference
from keras_models.encoders.backbone_config import serialize


@pytest.fixture(scope="module")
def net():
    return serialize(small_backbone.net())


def residual(second="a", activation="relu", size=16):
    """Its layers are called by Keras, with numbers that go up."""
    images = keras.Input((size, size, 3))
    a = keras.layers.Conv2D(4, 3, padding="same", activation=activation)(images)
    b = keras.layers.Conv2D(4, 3, padding="same")(a)
    c = keras.layers.Conv2D(4, 3, padding="same")({"a": a, "b": b}[second])
    inner = keras.Sequential([keras.layers.ReLU()])
    return serialize(keras.Model(images, inner(b + c)))


def test_names_sizes_policies_and_what_acts_in_training_do_not_count(net):
    other = small_backbone.net((32, 32, 3), dropout=0.5)
    other.trainable = False
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        again = serialize(small_backbone.net())
    finally:
        keras.config.set_dtype_policy("float32")
    assert first_difference(net, serialize(other)) == ""
    assert first_difference(net, again) == ""
    assert first_difference(residual(), residual(size=32)) == ""


def test_a_setting_of_a_layer_is_named_with_both_values(net):
    other = copy.deepcopy(net)
    other["config"]["layers"][2]["config"]["epsilon"] = 0.1
    difference = first_difference(net, other)
    assert difference == "epsilon of layer 'stem_norm' is 0.001 here, 0.1 there"
    assert "activation of layer 'conv2d" in first_difference(residual(), residual("a", "gelu"))


def test_another_kind_of_layer_is_named(net):
    other = copy.deepcopy(net)
    other["config"]["layers"][3]["class_name"] = "GELU"
    assert first_difference(net, other) == "class of layer 'early' is ReLU here, GELU there"


def test_a_layer_more_is_counted(net):
    other = copy.deepcopy(net)
    other["config"]["layers"].pop()
    assert first_difference(net, other) == "layers of the model is 8 entries here, 7 there"


def test_another_connection_is_found():
    assert "has another input" in first_difference(residual("a"), residual("b"))
