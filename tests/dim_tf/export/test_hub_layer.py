"""A SavedModel as a Keras layer: used, fine-tuned, frozen, saved and loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_export import close, images

from dim_tf.export import EncoderLayer, encoder_at, saved_model


@pytest.fixture(scope="module")
def exported(small_model):
    path, encoder = small_model
    return str(path), encoder


def classifier(layer):
    model = keras.Sequential([keras.Input(images().shape[1:]), layer, keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    return model


LABELS = np.arange(6) % 3


def moved(layer, before):
    return [not np.array_equal(w.numpy(), b) for w, b in zip(layer.weights, before, strict=True)]


def values(layer):
    return [w.numpy() for w in layer.weights]


def test_features_as_the_encoder(exported):
    path, encoder = exported
    layer = EncoderLayer(path)
    wanted = saved_model.keras_features(encoder, images())
    close(layer(images()), wanted)
    assert layer.compute_output_spec(keras.KerasTensor((None, 8, 8, 3))).shape == (None, 5)
    assert len(layer.trainable_variables) == len(encoder.trainable_variables)
    assert len(layer.weights) == len(encoder.variables)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fine_tuning_moves_all_weights_and_the_loss(exported, jit_compile):
    layer = EncoderLayer(exported[0])
    model = classifier(layer)
    model.jit_compile = jit_compile
    before = values(layer)
    losses = model.fit(images(), LABELS, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert all(moved(layer, before))


@pytest.mark.parametrize("late", [False, True])
def test_frozen_it_does_not_move(exported, late):
    layer = EncoderLayer(exported[0], trainable=late)
    layer.trainable = False
    model = classifier(layer)
    before = values(layer)
    model.fit(images(), LABELS, epochs=2, verbose=0)
    assert not any(moved(layer, before))
    assert len(model.trainable_variables) == 2


@pytest.mark.slow
def test_a_fine_tuned_model_is_saved_and_loaded(exported, tmp_path):
    layer = EncoderLayer(exported[0])
    model = classifier(layer)
    model.fit(images(), LABELS, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    with encoder_at(exported[0]):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    close(loaded(images()), model(images()))
    assert not np.allclose(layer(images()), EncoderLayer(exported[0])(images()), atol=1e-3)
    losses = loaded.fit(images(), LABELS, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_model_around_it_is_exported_whole(exported, tmp_path):
    model = classifier(EncoderLayer(exported[0]))
    model.export(str(tmp_path), verbose=False)
    again = tf.saved_model.load(str(tmp_path))
    close(again.serve(images()), model(images()))


@pytest.mark.slow
def test_in_a_model_of_mixed_precision(exported, tmp_path):
    """The SavedModel was made for float32; what is around it is not."""
    path, encoder = exported
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = EncoderLayer(path)
        model = classifier(layer)
        model.fit(images(), LABELS, verbose=0)
        model.save(tmp_path / "model.keras")
        with encoder_at(path):
            again = keras.models.load_model(tmp_path / "model.keras")
        assert model.layers[-1].compute_dtype == "bfloat16"
        close(again(images()), model(images()))
    finally:
        keras.config.set_dtype_policy("float32")
    close(EncoderLayer(path)(images().astype("f8")), saved_model.keras_features(encoder, images()))


def test_other_models_of_tf_hubs_kind(tmp_path):
    """Without a training argument and with a regularization loss."""
    root = tf.train.Checkpoint()
    weight = tf.Variable([2.0, 3.0])
    root.__call__ = tf.function(
        lambda x: x * weight, input_signature=[tf.TensorSpec([None, 2], tf.float32)]
    )
    root.variables = root.trainable_variables = [weight]
    loss = tf.function(lambda: tf.reduce_sum(weight**2), input_signature=[])
    root.regularization_losses = [loss]
    tf.saved_model.save(root, str(tmp_path))
    layer = EncoderLayer(str(tmp_path), regularization=True)
    model = keras.Sequential([keras.Input([2]), layer])
    close(model(np.ones((1, 2), "f4"), training=True), [[2.0, 3.0]])
    assert float(sum(model.losses)) == 13.0
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    again(np.ones((1, 2), "f4"))
    assert float(sum(again.losses)) == 13.0


def test_wrong_paths(exported, tmp_path):
    with pytest.raises(ValueError, match="holds no SavedModel"):
        EncoderLayer(str(tmp_path))
    module = tf.Module()
    module.f = tf.function(lambda: 1.0, input_signature=[])
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(ValueError, match="lacks __call__"):
        EncoderLayer(str(tmp_path))
