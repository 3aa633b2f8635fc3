"""A Keras model's export is used as any other: as a layer, in Beam, as TFLite."""

import keras
import numpy as np
import pytest
import small_backbone
import tensorflow as tf

from dim_tf.export import EncoderLayer, encoded_input, publish, saved_model, tflite
from dim_tf.export.tflite_metadata import embedding
from keras_models.encoders import BackboneEncoder

pytestmark = pytest.mark.slow
PIXELS = (np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)) / 255).astype("f4")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    keras.utils.set_random_seed(0)
    encoder = BackboneEncoder(
        small_backbone.net(dropout=0.2), 5, head="mlp", input_scaling="caffe", batch_norm="frozen"
    )
    encoder.build()
    for _ in range(10):  # so that the head's moving statistics are not those of a new model
        encoder(PIXELS * 2 - 1, training=True)
    folder = tmp_path_factory.mktemp("exported") / "net"
    options = publish.ExportOptions(quantized=True, tflite=("float32", "int8"))
    path, difference = publish.publish(encoder, folder, PIXELS, options=options)
    assert difference < 1e-4
    return path, encoder


def test_the_cards_python_gives_the_trained_keras_model(exported, monkeypatch):
    path, encoder = exported
    text = (path / "README.md").read_text()
    assert "scaled by --input_scaling=caffe, not in [0, 1]" in text
    monkeypatch.chdir(path.parent.parent)
    scope = {"images": PIXELS}
    exec(text.split("```python\n")[1].split("```")[0].replace("VERSION", "1"), scope)
    conv = encoder(PIXELS * 2 - 1, training=False)["conv"]
    scaled = (PIXELS * 255 - [123.68, 116.779, 103.939])[..., ::-1]
    np.testing.assert_allclose(scope["backbone"](scaled), conv, rtol=1e-4, atol=1e-4)


def test_as_a_layer_it_is_fine_tuned(exported):
    path, encoder = exported
    layer = EncoderLayer(str(path))
    wanted = saved_model.keras_features(encoder, PIXELS)
    np.testing.assert_allclose(layer(PIXELS), wanted, rtol=1e-4, atol=1e-4)
    assert len(layer.trainable_variables) == len(encoder.trainable_variables)
    model = keras.Sequential([keras.Input(PIXELS.shape[1:]), layer, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    losses = model.fit(PIXELS, np.arange(8) % 2, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


def test_bytes_of_images_give_its_features(exported):
    path, encoder = exported
    loaded = tf.saved_model.load(str(path))
    encoded = encoded_input.png_images(PIXELS)
    answer = loaded.signatures["serving_bytes_valid"](image_bytes=tf.constant([*encoded, b"no"]))
    assert answer["valid"].numpy().tolist() == [True] * 8 + [False]
    wanted = saved_model.keras_features(encoder, PIXELS)
    np.testing.assert_allclose(answer["global"][:8], wanted, rtol=1e-4, atol=1e-4)


def test_beam_embeds_by_it(exported):
    pytest.importorskip("apache_beam")
    from dim_tf.collection.beam import EncoderHandler

    path, encoder = exported
    handler = EncoderHandler(str(path))
    embedded = list(handler.run_inference(encoded_input.png_images(PIXELS), handler.load_model()))
    wanted = saved_model.keras_features(encoder, PIXELS)
    features = np.stack([np.asarray(one.embedding) for one in embedded])
    np.testing.assert_allclose(features, wanted, rtol=1e-4, atol=1e-4)


def test_tflite_float32_and_int8_give_its_features(exported):
    path, encoder = exported
    wanted = saved_model.keras_features(encoder, PIXELS)
    cosines = {
        variant.name: tflite.cosines(tflite.encode(path / variant.file, PIXELS), wanted)
        for variant in tflite.VARIANTS
        if variant.name in ("float32", "int8")
    }
    assert cosines["float32"].min() > 0.99999
    assert cosines["int8"].mean() > 1 - tflite.MAX_COSINE_LOSS["int8"]


@pytest.mark.parametrize("scaling", ["0..255", "caffe", (127, 128)])
def test_int8_keeps_features_whatever_the_model_takes_pixels_in(scaling, tmp_path):
    keras.utils.set_random_seed(0)
    encoder = BackboneEncoder(small_backbone.net(), 5, input_scaling=scaling)
    encoder.build()
    wanted = saved_model.keras_features(encoder, PIXELS)
    saved_model.save(encoder, tmp_path, saved_model.SavedModelOptions({}))
    (int8,) = (variant for variant in tflite.VARIANTS if variant.name == "int8")
    tflite.write(tmp_path, [int8], PIXELS, "net", "", embedding("global"))
    features = tflite.encode(tmp_path / int8.file, PIXELS)
    assert np.abs(features - wanted).max() < 0.02 * np.abs(wanted).max()
