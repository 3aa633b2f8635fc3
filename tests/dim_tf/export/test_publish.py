"""An exported encoder answers as the Keras model does, in every way to call it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf.errors import InputError, RunError
from dim_tf.export import lite, publish, saved_model
from keras_models import encoders

SIZE = 8


def small_encoder(channels=3):
    keras.utils.set_random_seed(0)
    encoder = encoders.ConvNet((SIZE, SIZE, channels), ((4, 4, 2, 1),), (8,), 0, 5)
    encoder.build()
    pixels = tf.random.stateless_uniform([64, SIZE, SIZE, channels], [1, 2], -1, 1)
    for _ in range(20):  # so that the moving statistics are not those of a new model
        encoder(pixels, training=True)
    return encoder


def images(count=6):
    return (np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3)) / 255).astype("f4")


@pytest.fixture(scope="module", params=[3, 1], ids=["rgb", "gray"])
def exported(request, tmp_path_factory):
    encoder = small_encoder(request.param)
    folder = tmp_path_factory.mktemp("exported") / "name"
    path, worst = publish.publish(encoder, folder, images())
    assert worst < 1e-5
    wanted = saved_model.expected(encoder, images())
    return str(path), encoder, wanted


def close(found, wanted):
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-4, atol=1e-5)


def test_expected_is_the_encoder_on_signed_images():
    encoder = small_encoder()
    wanted = encoder(images() * 2 - 1, training=False)["global"]
    close(saved_model.expected(encoder, images()), wanted)


def test_saved_model_load(exported):
    path, encoder, wanted = exported
    loaded = tf.saved_model.load(path)
    close(loaded(images()), wanted)
    close(loaded(images(), training=False), wanted)
    assert len(loaded.variables) == len(encoder.variables)
    assert len(loaded.trainable_variables) == len(encoder.trainable_variables)
    assert list(loaded.regularization_losses) == []


def test_signatures(exported):
    path, _, wanted = exported
    signatures = tf.saved_model.load(path).signatures
    assert sorted(signatures) == ["endpoints", "serving_bytes", "serving_default"]
    close(signatures["serving_default"](images=tf.constant(images()))["global"], wanted)
    endpoints = signatures["endpoints"](images=tf.constant(images()))
    assert {name: x.shape[1:] for name, x in endpoints.items()} == {
        "local": (4, 4, 4),
        "conv": (4, 4, 4),
        "fc": (8,),
        "global": (5,),
    }


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
def test_encoded_images_of_any_size(exported, encode):
    """A larger picture of constant colour is resized to that colour."""
    path, encoder, _ = exported
    encoded = [encode(np.full((*s, 3), 51, np.uint8)).numpy() for s in ((30, 20), (8, 8), (5, 40))]
    bytes_signature = tf.saved_model.load(path).signatures["serving_bytes"]
    found = bytes_signature(image_bytes=tf.constant(encoded))["global"]
    close(found, saved_model.expected(encoder, np.full((3, SIZE, SIZE, 3), 0.2, np.float32)))


def test_training_mode_can_be_fine_tuned(exported):
    path, *_ = exported
    loaded = tf.saved_model.load(path)
    before = [v.numpy() for v in loaded.variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded(images(), training=True) ** 2)
    gradients = tape.gradient(loss, loaded.trainable_variables)
    assert all(g is not None for g in gradients)
    changed = [
        not np.array_equal(a, b.numpy()) for a, b in zip(before, loaded.variables, strict=True)
    ]
    assert sum(changed) == 4  # the moving mean and variance of two batch norms


def test_tf_hub_keras_and_tf_data(exported):
    path, _, wanted = exported
    hub = pytest.importorskip("tensorflow_hub")
    close(hub.load(path)(images()), wanted)
    layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    close(layer(images())["global"], wanted)
    loaded = tf.saved_model.load(path)
    mapped = tf.data.Dataset.from_tensor_slices(images()).batch(3).map(loaded)
    close(np.concatenate(list(mapped.as_numpy_iterator())), wanted)


def test_tflite_takes_any_batch(exported):
    path, _, wanted = exported
    file = publish.Path(path) / publish.TFLITE_FILE
    for count in (6, 1, 4):
        close(lite.run(file, images()[:count]), wanted[:count])


def test_versions_count_up(tmp_path):
    for wanted in ("1", "2"):
        path, _ = publish.publish(small_encoder(), tmp_path / "name", images())
        assert path.name == wanted
    (tmp_path / "name" / "10").mkdir()
    (tmp_path / "name" / "notes").mkdir()
    assert publish.next_version(tmp_path / "name") == 11


def test_a_wrong_export_is_not_published(tmp_path, monkeypatch):
    encoder = small_encoder()
    publish.publish(encoder, tmp_path, images())
    right = saved_model.expected(encoder, images())
    monkeypatch.setattr(saved_model, "expected", lambda *_: right + 0.01)
    with pytest.raises(RunError, match="nothing was published"):
        publish.publish(encoder, tmp_path, images())
    assert [child.name for child in tmp_path.iterdir()] == ["1"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give another --export_dir"):
        publish.publish(small_encoder(), tmp_path / "file" / "name", images())
