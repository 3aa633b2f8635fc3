"""An exported classifier: the same probabilities in every way to call it, names, MediaPipe."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from flatbuffer_fields import Fields, metadata_of
from flatbuffers import number_types
from small_export import SIZE, head, images, small_encoder

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.export import (
    EncoderLayer,
    classifier,
    classifier_saved_model,
    encoded_input,
    saved_model,
    saved_model_encoder,
    tflite,
    tflite_metadata,
    verify,
)
from dim_tf.export.card import ModelCardInfo
from dim_tf.export.classifier import ClassifierInfo, publish_classifier
from dim_tf.export.publish import ExportOptions
from dim_tf.export.saved_model import SavedModelOptions
from dim_tf.system.errors import InputError, RunError

VARIANTS = ("float32", "int8", "uint8_batch1")
NAMES = np.array([name.encode() for name in head().label_names])


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "small-classifier"
    info = ClassifierInfo(ModelCardInfo(license="CC0-1.0"), "6 labelled images", {})
    options = ExportOptions(tflite=VARIANTS, calibration=images(32))
    path, difference = publish_classifier(small_encoder(), head(), folder, images(), info, options)
    assert difference < 1e-5
    return path


@pytest.fixture(scope="module")
def expected():
    return head().probabilities(saved_model.keras_features(small_encoder(), images()))


def is_near(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=1e-5)


def test_the_call_and_the_signatures_give_the_keras_models_probabilities(published, expected):
    loaded = tf.saved_model.load(str(published))
    is_near(loaded(images()), expected)
    encoded = tf.constant(encoded_input.png_images(images()))
    arguments = {"images": tf.constant(images())}
    is_near(loaded.signatures["probabilities"](**arguments)["probabilities"], expected)
    features = loaded.signatures["features"](**arguments)
    is_near(features["global"], saved_model.keras_features(small_encoder(), images()))
    for name, inputs in (("serving_default", arguments), ("serving_bytes", None)):
        answer = loaded.signatures[name](**inputs or {"image_bytes": encoded})
        is_near(answer["probabilities"], expected)
        np.testing.assert_array_equal(answer["classes"], NAMES[expected.argmax(axis=1)])


def test_an_image_that_cannot_be_decoded_has_no_class(published, expected):
    encoded = encoded_input.png_images(images(2))
    loaded = tf.saved_model.load(str(published))
    answer = loaded.signatures["serving_bytes_valid"](
        image_bytes=tf.constant([encoded[0], b"no image", encoded[1]])
    )
    np.testing.assert_array_equal(answer["valid"], [True, False, True])
    assert answer["classes"][1] == b""
    np.testing.assert_array_equal(answer["probabilities"][1], 0)
    is_near(answer["probabilities"].numpy()[[0, 2]], expected[:2])


def test_tflite_files_give_the_same_probabilities(published, expected):
    assert {p.name for p in published.glob("*.tflite")} == {
        f"classifier_{name}.tflite" for name in VARIANTS
    }
    float32 = tflite.runner(published / "classifier_float32.tflite")
    is_near(float32(images())["probabilities"], expected)
    for name in ("int8", "uint8_batch1"):
        outputs = tflite.runner(published / f"classifier_{name}.tflite")(images())
        assert set(outputs) == {"probabilities"}
        assert classifier.mean_distance(outputs["probabilities"], expected, False) < 0.05


def test_a_tflite_file_holds_its_labels_where_mediapipe_looks(published):
    """Places of fields as in TFLite Support's metadata_schema.fbs."""
    model = (published / "classifier_uint8_batch1.tflite").read_bytes()
    assert tflite_metadata.labels_in(model) == head().label_names
    _, data = metadata_of(model)
    output = Fields.root(data).only(3).only(3)
    assert output.text(0) == "probability"
    assert (output.inner(5).floats(0), output.inner(5).floats(1)) == ([1.0], [0.0])
    file = output.only(6)
    assert file.text(0) == "labels.txt"
    assert file.number(2, number_types.Int8Flags) == 2  # TENSOR_AXIS_LABELS
    int8 = (published / "classifier_int8.tflite").read_bytes()
    assert tflite_metadata.labels_in(int8) == ()  # MediaPipe does not load it


def test_mediapipe_classifies_an_image(published, expected):
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    for name in ("float32", "uint8_batch1"):
        path = str(published / f"classifier_{name}.tflite")
        options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path))
        with vision.ImageClassifier.create_from_options(options) as task:
            for pixels, wanted in zip(images(), expected, strict=True):
                data = (pixels * 255).round().astype(np.uint8)
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
                (answer,) = task.classify(image).classifications
                scores = {c.category_name: c.score for c in answer.categories}
                assert set(scores) <= set(head().label_names)
                for label, probability in zip(head().label_names, wanted, strict=True):
                    tolerance = 1e-5 if name == "float32" else 0.1
                    assert scores.get(label, 0) == pytest.approx(probability, abs=tolerance)


def test_it_is_no_encoder_to_embed_with_or_to_train(published):
    with pytest.raises(InputError, match="is a classifier, which gives probabilities and no feat"):
        saved_model.load(str(published), "serving_bytes_valid")
    with pytest.raises(InputError, match="is a classifier, which gives probabilities and no feat"):
        saved_model_encoder.load(str(published))


def test_the_folder_is_whole_and_says_what_it_is(published):
    assert not verify.differences(published)
    assert (published / "assets/labels.txt").read_text().splitlines() == list(head().label_names)
    metadata = json.loads((published / "assets/metadata.json").read_text())
    assert metadata["labels"] == list(head().label_names)
    assert metadata["signatures"]["serving_bytes"]["outputs"] == {
        "classes": "string [N]",
        "probabilities": "float32 [N, 3]",
    }
    card = (published / "README.md").read_text()
    assert "# small-classifier\n\nAn image classifier with dim_tf: 3 classes" in card
    assert "6 labelled images" in card
    assert (published / "assets.extra/tf_serving_warmup_requests").stat().st_size > 1000


def test_the_cards_python_runs(published, expected, monkeypatch):
    code = (published / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(published.parent.parent)
    scope = {"images": images()}
    exec(code.replace("VERSION", "1"), scope)
    is_near(scope["probabilities"], expected)
    np.testing.assert_array_equal(scope["answer"]["classes"], NAMES[expected.argmax(axis=1)])


def test_the_classifier_is_a_keras_layer_that_learns(published):
    layer = EncoderLayer(str(published))
    assert [w.shape for w in layer.trainable_weights[-2:]] == [(5, 3), (3,)]
    model = keras.Sequential([keras.Input([SIZE, SIZE, 3]), layer])
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
    before = [w.numpy() for w in layer.trainable_weights]
    model.fit(images(), np.arange(6) % 3, verbose=0)
    for weight, start in zip(layer.trainable_weights, before, strict=True):
        assert (weight.numpy() != start).any()


def test_attributes_have_probabilities_of_their_own(tmp_path):
    attributes, options = head(multi_label=True), ExportOptions(tflite=())
    path, difference = publish_classifier(
        small_encoder(), attributes, tmp_path / "small", images(), options=options
    )
    assert difference < 1e-5
    expected = attributes.probabilities(saved_model.keras_features(small_encoder(), images()))
    assert not np.allclose(expected.sum(axis=1), 1)
    is_near(tf.saved_model.load(str(path))(images()), expected)
    assert "3 attributes" in (path / "README.md").read_text()


def test_another_head_is_found_and_nothing_is_published(published, tmp_path, monkeypatch):
    def copied(encoder, head, path, options):
        shutil.copytree(published, path, dirs_exist_ok=True)

    monkeypatch.setattr(classifier_saved_model, "save", copied)
    other = dataclasses.replace(head(), bias=head().bias + np.array([0, 0.1, 0], np.float32))
    with pytest.raises(RunError, match=r"call differs from the Keras model by .* published"):
        publish_classifier(small_encoder(), other, tmp_path / "a", images())
    assert not list(tmp_path.iterdir())


def test_a_wrong_name_of_a_class_is_found(published):
    options = SavedModelOptions({})
    swapped = dataclasses.replace(head(), label_names=("dog", "cat", "Käuzchen"))
    with pytest.raises(RunError, match="serving_default gives another class than the likeliest"):
        classifier_saved_model.check(published, small_encoder(), swapped, images(), options)


def test_a_wrong_tflite_file_is_found(published, expected):
    for variant in classifier.VARIANTS:
        if variant.name in VARIANTS:
            path = published / variant.file
            assert classifier._fidelity(path, variant, images(), expected, False)
            with pytest.raises(RunError, match="nothing was published"):
                classifier._fidelity(path, variant, images(), expected[:, ::-1], False)


@pytest.mark.parametrize(
    ("option", "flag"), [({"quantized": True}, "--quantized"), ({"tflite_endpoints": True}, "--tf")]
)
def test_options_of_encoders_are_refused(tmp_path, option, flag):
    with pytest.raises(InputError, match=f"{flag}.* is of an exported encoder"):
        publish_classifier(
            small_encoder(), head(), tmp_path / "a", images(), options=ExportOptions(**option)
        )


def test_a_classifier_of_arrays_takes_their_values(tmp_path):
    scaling = ChannelScaling((0.0, 10.0, 0.0), (900.0, 1500.0, 2e3))
    options = ExportOptions(scaling=scaling, tflite=())
    values = scaling.from_unit(images())
    path, difference = publish_classifier(
        small_encoder(), head(), tmp_path / "a", values, options=options
    )
    assert difference < 1e-4
    expected = head().probabilities(saved_model.keras_features(small_encoder(), images()))
    np.testing.assert_allclose(tf.saved_model.load(str(path))(values), expected, atol=1e-4)
