"""One feature, whichever endpoint it is of, in every way to call an export."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import small_export
import tensorflow as tf
from small_backbone import small_backbone_encoder

import dim_tf
from dim_tf.collection import embed, embeddings, image_collection
from dim_tf.data import image_ops
from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import representation
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.export import EncoderLayer, card, encoded_input, publish, saved_model, tflite
from dim_tf.export.feature import Feature, available
from dim_tf.registry import FEATURES
from dim_tf.system.errors import InputError
from dim_tf.training.encoder_model import EncoderModel

# Relative to the largest number; the issue asks for no less.
TOLERANCE = 1e-5
PIXELS = small_export.images(20)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE * np.abs(expected).max())


def test_each_feature_is_its_endpoint_as_a_vector():
    encoder = small_export.small_encoder()
    outputs = encoder(PIXELS * 2 - 1, training=False)
    assert available(outputs) == FEATURES
    for name in ("global", "fc", "conv"):
        close(Feature(name)(outputs), np.reshape(outputs[name], (20, -1)))
    close(Feature("local_pooled")(outputs), np.mean(outputs["local"], axis=(1, 2)))
    pooled = np.reshape(outputs["conv"], (20, 2, 2, 2, 2, 4)).mean((2, 4))
    close(Feature("conv", 16)(outputs), pooled.reshape(20, 16))


@pytest.mark.parametrize("max_features", [2**14, 32])
@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_has_the_numbers_that_are_measured(name, max_features):
    encoder = small_backbone_encoder()
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    split = Split(images, np.zeros(20, np.int64))
    data = EvaluationData.from_splits(Splits("a", split, split, ("a",), ""))
    measured = representation.from_encoder(encoder, data, max_features).train[name]
    feature = Feature(name, max_features)
    outputs = encoder(image_ops.encoder_input(image_ops.to_unit(images), 3), training=False)
    close(feature(outputs), measured)
    assert feature.dimension(encoder) == measured.shape[1] <= max_features


def test_a_feature_that_the_encoder_lacks_is_refused():
    encoder = SimpleNamespace(
        endpoint_shapes=lambda: {"local": (None, 4, 4, 3), "global": (None, 5)}
    )
    with pytest.raises(InputError, match=r"--feature=fc: .*; give auto or one of global, loc"):
        Feature("fc").dimension(encoder)


@pytest.mark.parametrize("encoder", [small_export.small_encoder, small_backbone_encoder])
@pytest.mark.parametrize("name", FEATURES)
def test_all_that_stays_trainable_has_a_gradient(name, encoder):
    built, feature = encoder(), Feature(name)
    every = len(built.trainable_variables)
    feature.freeze_unused(built)
    assert (len(built.trainable_variables) == every) == (name == "global")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(feature(built(tf.ones([2, *built.image_shape]))) ** 2)
    variables = [variable.value for variable in built.trainable_variables]
    assert None not in tape.gradient(loss, variables)


# The SavedModel and one TFLite file take seconds; all files, of another feature, many.
EXPORTS = [
    pytest.param(("conv", ("float32",)), id="conv"),
    pytest.param(
        ("local_pooled", ("float32", "float32_batch1", "int8")),
        id="local_pooled",
        marks=pytest.mark.slow,
    ),
]


@pytest.fixture(scope="module", params=EXPORTS)
def exported(request, tmp_path_factory):
    """A published version that gives another feature than "global", with what it should give."""
    name, files = request.param
    encoder, feature = small_export.small_encoder(), Feature(name)
    expected = saved_model.keras_features(encoder, PIXELS, feature)
    ids = tuple(map(str, range(len(PIXELS))))
    options = publish.ExportOptions(
        feature=feature,
        calibration=PIXELS,
        quantized=True,
        neighbours=saved_model.NeighboursIndex(ids, expected, 3),
        tflite=files,
        tflite_endpoints=len(files) > 1,
    )
    folder = tmp_path_factory.mktemp("exported") / "small"
    path, difference = publish.publish(encoder, folder, PIXELS, card.ModelCardInfo(), options)
    assert difference <= TOLERANCE
    return SimpleNamespace(
        path=path, encoder=encoder, feature=feature, expected=expected, files=files
    )


def test_every_way_to_call_an_export_gives_its_feature(exported):
    name, expected = exported.feature.name, exported.expected
    loaded = tf.saved_model.load(str(exported.path))
    images, encoded = tf.constant(PIXELS), tf.constant(encoded_input.png_images(PIXELS))
    close(loaded(images), expected)
    close(loaded.signatures["serving_default"](images=images)[name], expected)
    for signature in ("serving_bytes", "serving_bytes_valid"):
        close(loaded.signatures[signature](image_bytes=encoded)[name], expected)
    stored = loaded.signatures["quantized"](images=images)[f"{name}_bytes"]
    assert stored.dtype == tf.uint8
    assert stored.shape == expected.shape
    nearest = loaded.signatures["neighbours"](images=images)["id"].numpy()[:, 0]
    assert nearest.tolist() == [str(number).encode() for number in range(len(PIXELS))]
    assert set(loaded.signatures["endpoints"](images=images)) == {"local", "conv", "fc", "global"}
    close(EncoderLayer(str(exported.path))(images), expected)
    encoder = dim_tf.load(exported.path)
    assert (encoder.feature, encoder.dimension) == (name, expected.shape[1])
    close(encoder(PIXELS), expected)
    model = EncoderModel(exported.encoder, name)
    close(model(PIXELS), expected)


def test_every_tflite_file_gives_its_feature(exported):
    name, expected = exported.feature.name, exported.expected
    for file in exported.path.glob("encoder_float32*.tflite"):
        close(tflite.runner(file)(PIXELS)[name], expected)
        close(tflite.encode(file, PIXELS), expected)
    if exported.files == ("float32",):
        return
    int8 = tflite.encode(exported.path / "encoder_int8.tflite", PIXELS)
    assert tflite.cosines(int8, expected).mean() > 0.999
    outputs = tflite.runner(exported.path / tflite.ENDPOINTS.file)(PIXELS)
    close(exported.feature(outputs), expected)


@pytest.mark.slow
def test_embeddings_are_of_its_feature(exported, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(encoded_input.png_images(PIXELS)):
        (folder / f"{number:02d}.png").write_bytes(image)
    collection = image_collection.open_collection(str(folder))
    embed.embed(exported.path, collection, tmp_path / "out", "parquet", 8)
    close(embeddings.read(tmp_path / "out")[1], exported.expected)
    embeddings.check_encoder(tmp_path / "out", exported.encoder.variables, exported.feature.name)


def test_the_folder_says_which_feature_it_gives(exported):
    name, size = exported.feature.name, exported.expected.shape[1]
    metadata = json.loads((exported.path / "assets/metadata.json").read_text())
    assert (metadata["feature"]["name"], metadata["dimension"]) == (name, size)
    assert len(metadata["quantization"]["scale"]) == size
    text = (exported.path / "README.md").read_text()
    assert f"- **Feature**: `{name}`, {size} numbers an image: " in text
    assert f"# [N, {size}], {name}" in text
    assert f'run(images=images)["{name}"]' in text
    assert (
        f"| `serving_default` | `images` float32 [N, 8, 8, 3] | `{name}` float32 [N, {size}]"
        in text
    )


@pytest.mark.slow
def test_a_map_that_is_pooled_is_the_same_in_tflite(tmp_path):
    """As conv of a large backbone."""
    encoder, feature = small_backbone_encoder(), Feature("conv", 2 * 2 * 8)
    pixels = (np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)) / 255).astype("f4")
    options = publish.ExportOptions(feature=feature)
    path, _ = publish.publish(encoder, tmp_path / "net", pixels, None, options)
    expected = saved_model.keras_features(encoder, pixels, feature)
    assert expected.shape == (8, 32)
    close(tf.saved_model.load(str(path))(pixels), expected)
    close(tflite.encode(path / "encoder_float32.tflite", pixels), expected)
    close(tflite.encode(path / "encoder_float32_batch1.tflite", pixels), expected)


def test_a_saved_keras_model_gives_the_same_feature(tmp_path):
    model = EncoderModel(small_export.small_encoder(), "conv", 16)
    expected = model(PIXELS)
    assert expected.shape == (20, 16)
    model.save(tmp_path / "encoder.keras")
    close(keras.models.load_model(tmp_path / "encoder.keras")(PIXELS), expected)
