"""An exported encoder answers as the Keras model does, in every way to call it."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_export import SIZE, close, images, small_encoder

from dim_tf.export import encoded_input, saved_model, saved_model_assets
from dim_tf.system.errors import RunError

SIGNATURES = ["endpoints", "serving_bytes", "serving_bytes_valid", "serving_default"]


@pytest.fixture(scope="module", params=["rgb", "gray"])
def exported(request, small_model):
    """The plain export of an encoder of colours, and the extended one of one of shades."""
    if request.param == "gray":
        extended = request.getfixturevalue("extended")
        path, encoder, loaded = extended.path, extended.encoder, extended.loaded
    else:
        path, encoder = small_model
        loaded = tf.saved_model.load(str(path))
    return loaded, str(path), encoder, saved_model.keras_features(encoder, images())


def test_keras_features_are_the_encoders_on_signed_images():
    encoder = small_encoder()
    wanted = encoder(images() * 2 - 1, training=False)["global"]
    close(saved_model.keras_features(encoder, images()), wanted)


def test_saved_model_load(exported):
    loaded, _, encoder, wanted = exported
    close(loaded(images()), wanted)
    close(loaded(images(), training=False), wanted)
    assert len(loaded.variables) == len(encoder.variables)
    assert len(loaded.trainable_variables) == len(encoder.trainable_variables)
    assert list(loaded.regularization_losses) == []


def test_signatures(exported):
    loaded, _, encoder, wanted = exported
    signatures = loaded.signatures
    extended = {"neighbours", "quantized"} if encoder.image_shape[-1] == 1 else set()
    assert set(signatures) == {*SIGNATURES, *extended}
    close(signatures["serving_default"](images=tf.constant(images()))["global"], wanted)
    endpoints = signatures["endpoints"](images=tf.constant(images()))
    assert {name: x.shape[1:] for name, x in endpoints.items()} == {
        "local": (4, 4, 4),
        "conv": (4, 4, 4),
        "fc": (8,),
        "global": (5,),
    }


@pytest.mark.parametrize("signature", ["serving_bytes", "serving_bytes_valid"])
def test_encoded_images_of_any_size(exported, signature):
    """A larger image of constant colour is resized to that colour."""
    loaded, _, encoder, _ = exported
    encoded = [
        encode(np.full((*size, 3), 51, np.uint8)).numpy()
        for encode in (tf.io.encode_png, tf.io.encode_jpeg)
        for size in ((30, 20), (8, 8), (5, 40))
    ]
    signature_function = loaded.signatures[signature]
    features = signature_function(image_bytes=tf.constant(encoded))["global"]
    close(
        features, saved_model.keras_features(encoder, np.full((6, SIZE, SIZE, 3), 0.2, np.float32))
    )


def test_one_bad_image_among_good_ones(exported):
    loaded, _, _, wanted = exported
    encoded = encoded_input.png_images(images())
    encoded[2] = encoded[2][:40]
    signatures = loaded.signatures
    outputs = signatures["serving_bytes_valid"](image_bytes=tf.constant(encoded))
    assert outputs["valid"].numpy().tolist() == [True, True, False, True, True, True]
    close(outputs["global"], np.where(np.arange(6)[:, np.newaxis] == 2, 0, wanted))
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_bytes"](image_bytes=tf.constant(encoded))


def test_an_image_of_too_many_pixels_is_refused(extended):
    called = extended.loaded.signatures["serving_bytes"]
    small, large = (tf.io.encode_png(np.zeros((s, 100, 3), np.uint8)) for s in (10, 11))
    assert called(image_bytes=[small])["global"].shape == (1, 5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels allowed"):
        called(image_bytes=[large])


def test_training_mode_can_be_fine_tuned(exported):
    _, path, *_ = exported
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


@pytest.mark.slow
def test_tf_hub_keras_and_tf_data(exported):
    loaded, path, _, wanted = exported
    hub = pytest.importorskip("tensorflow_hub")
    close(hub.load(path)(images()), wanted)
    layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    close(layer(images())["global"], wanted)
    mapped = tf.data.Dataset.from_tensor_slices(images()).batch(3).map(loaded)
    close(np.concatenate(list(mapped.as_numpy_iterator())), wanted)


def test_assets(extended):
    loaded, metadata = extended.loaded, extended.metadata
    assert Path(loaded.labels.asset_path.numpy().decode()).read_text() == "cat\ndog\n"
    assert json.loads(Path(loaded.metadata.asset_path.numpy().decode()).read_text()) == metadata
    assert metadata["name"] == "é"
    assert metadata["signatures"]["endpoints"] == {
        "inputs": {"images": "float32 [N, 8, 8, 3]"},
        "outputs": {
            "local": "float32 [N, 4, 4, 4]",
            "conv": "float32 [N, 4, 4, 4]",
            "fc": "float32 [N, 8]",
            "global": "float32 [N, 5]",
        },
    }
    assert metadata["signatures"]["serving_bytes_valid"] == {
        "inputs": {"image_bytes": "string [N]"},
        "outputs": {"global": "float32 [N, 5]", "valid": "bool [N]"},
    }


IDS = tuple(f"image {n}" for n in range(20))


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """An export with all signatures, assets and a limit, and what was asked for."""
    path = tmp_path_factory.mktemp("exported") / "1"
    encoder = small_encoder(1)
    wanted = saved_model.keras_features(encoder, images(20))
    options = saved_model.SavedModelOptions(
        {"name": "é"},
        ("cat", "dog"),
        max_pixels=1000,
        quantization=saved_model.Quantization.fit(wanted),
        neighbours=saved_model.NeighboursIndex(IDS, wanted, 3),
    )
    metadata = saved_model.save(encoder, path, options)
    loaded = tf.saved_model.load(str(path))
    return SimpleNamespace(
        path=path, encoder=encoder, wanted=wanted, options=options, metadata=metadata, loaded=loaded
    )


def test_quantized_features_are_within_half_a_step(extended):
    loaded, wanted = extended.loaded, extended.wanted
    quantized = loaded.signatures["quantized"](images=tf.constant(images(20)))[
        "global_bytes"
    ].numpy()
    assert quantized.dtype == np.uint8
    assert (quantized.min(axis=0) == 0).all()
    assert (quantized.max(axis=0) == 255).all()
    step = (wanted.max(axis=0) - wanted.min(axis=0)) / 255
    assert (np.abs(wanted.min(axis=0) + step * quantized - wanted) <= 0.51 * step).all()


def test_a_feature_that_never_changes_has_a_step():
    quantization = saved_model.Quantization.fit(np.float32([[2, 1], [2, 3]]))
    np.testing.assert_allclose(quantization.scale, [1, 2 / 255], rtol=1e-6)
    np.testing.assert_array_equal(quantization.offset, [2, 1])


def test_neighbours_of_an_index(extended):
    loaded, features = extended.loaded, extended.wanted
    outputs = loaded.signatures["neighbours"](images=tf.constant(images(20)))
    assert [row[0].decode() for row in outputs["id"].numpy()] == list(IDS)  # each its own
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    order = np.argsort(-unit @ unit.T, axis=1)[:, :3]
    assert outputs["id"].numpy().tolist() == [[IDS[n].encode() for n in row] for row in order]
    close(outputs["similarity"], np.take_along_axis(unit @ unit.T, order, axis=1))
    # Fine-tuning leaves the index alone.
    assert len(loaded.variables) == len(extended.encoder.variables)


def test_a_wrong_signature_is_found(extended, monkeypatch):
    path, encoder, wanted = extended.path, extended.encoder, extended.wanted
    monkeypatch.setattr(tf.saved_model, "load", lambda _: extended.loaded)
    saved_model.check(path, encoder, images(), extended.options)
    right = saved_model.Quantization.fit(wanted)
    other = saved_model.Quantization(right.offset + right.scale, right.scale)  # by one step
    with pytest.raises(RunError, match="quantized differs by"):
        saved_model.check(
            path, encoder, images(), saved_model.SavedModelOptions({}, quantization=other)
        )
    turned = saved_model.NeighboursIndex(IDS, wanted[:, ::-1], 3)
    with pytest.raises(RunError, match="exported neighbours differs"):
        saved_model.check(
            path, encoder, images(), saved_model.SavedModelOptions({}, neighbours=turned)
        )
    misnamed = saved_model.NeighboursIndex(IDS[::-1], wanted, 3)
    with pytest.raises(RunError, match="exported neighbours' ids differs"):
        saved_model.check(
            path, encoder, images(), saved_model.SavedModelOptions({}, neighbours=misnamed)
        )
    endpoints = saved_model.keras_endpoints(encoder, images())
    endpoints["local"] = endpoints["local"][::-1]
    monkeypatch.setattr(saved_model, "keras_endpoints", lambda *_: endpoints)
    with pytest.raises(RunError, match="exported endpoint local differs"):
        saved_model.check(path, encoder, images(), extended.options)


def test_a_label_is_a_line():
    assert saved_model_assets.label_lines(("cat", "a\nb", "ü")) == "cat\na b\nü\n"
