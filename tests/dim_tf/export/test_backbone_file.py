"""The .keras file of an export is the trained model, for whoever deploys it."""

import keras
import numpy as np
import pytest
import small_backbone

from dim_tf.export import backbone_file
from dim_tf.system.errors import RunError
from keras_models.encoders import BackboneEncoder

PIXELS = (np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)) / 255).astype("f4")


def encoder_of(backbone):
    encoder = BackboneEncoder(backbone, 5, input_scaling=(127, 128), batch_norm="frozen")
    encoder.build()
    return encoder


@pytest.mark.parametrize("stands_still", [False, True])
def test_it_gives_the_encoders_maps_of_scaled_pixels(tmp_path, stands_still):
    encoder = encoder_of(small_backbone.net())
    encoder.backbone.get_layer("stem_norm").moving_mean.assign(np.full(6, 0.3))
    encoder.set_backbone_trainable(not stands_still)
    before = [layer.trainable for layer in encoder.backbone.layers]
    backbone_file.write(encoder, tmp_path)
    assert [layer.trainable for layer in encoder.backbone.layers] == before
    encoder.set_backbone_trainable(True)
    assert not encoder.backbone.get_layer("stem_norm").trainable
    assert encoder.backbone.get_layer("stem").trainable
    assert backbone_file.check(encoder, tmp_path, PIXELS) < 1e-5
    model = keras.models.load_model(tmp_path / backbone_file.FILE)
    assert all(layer.trainable for layer in model.layers)
    conv = encoder(PIXELS * 2 - 1)["conv"]
    np.testing.assert_allclose(model((PIXELS * 255 - 127) / 128), conv, rtol=1e-4, atol=1e-5)


def test_other_weights_are_noticed(tmp_path):
    encoder = encoder_of(small_backbone.net())
    backbone_file.write(encoder, tmp_path)
    kernel = encoder.backbone.get_layer("down").kernel
    kernel.assign(kernel * 1.01)
    with pytest.raises(RunError, match=r"backbone.keras, conv differs .*nothing was published"):
        backbone_file.check(encoder, tmp_path, PIXELS)


def test_a_model_that_safe_mode_refuses_is_one_line(tmp_path):
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(images)
    net = keras.Model(images, keras.layers.Lambda(lambda x: x * 2, name="late")(x))
    encoder = encoder_of(net)
    backbone_file.write(encoder, tmp_path)
    with pytest.raises(RunError, match=r"cannot be loaded again .*no Lambda layer") as error:
        backbone_file.check(encoder, tmp_path, PIXELS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("scaling", "flag"),
    [
        ("0..1", "0..1"),
        ((127.0, 128), "127,128"),
        ([[1.5, 2, 3], [4]], "1.5,2,3,4,4,4"),
        ([[103.939], [58.395]], "103.939,58.395"),
    ],
)
def test_a_scaling_as_the_flag_has_it(scaling, flag):
    assert backbone_file.scaling_flag(scaling) == flag
