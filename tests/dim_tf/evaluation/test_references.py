"""References: which there are, and what is measured of them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sample_representations import random_splits, small_encoder

from dim_tf.evaluation import evaluate, representation
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.references import load_named, references
from dim_tf.evaluation.saved_encoder import SavedEncoder
from dim_tf.experiment import Experiment
from dim_tf.registry import REFERENCE_TITLES
from dim_tf.stages import evaluate as evaluate_stage
from dim_tf.system.errors import InputError, MeasureError


@pytest.fixture(scope="module")
def splits():
    return random_splits(60)


def test_references_have_a_title_and_its_order():
    encoder = small_encoder(0)
    assert list(references(100, encoder, encoder)) == list(REFERENCE_TITLES)
    assert list(references(100, random_encoder=encoder)) == ["random_weights", "pixels"]
    assert list(references(100)) == ["pixels"]


def test_each_reference_is_the_representation_of_its_encoder(splits):
    data = EvaluationData.from_splits(splits)
    random_encoder, start_encoder = small_encoder(1), small_encoder(2)
    by_name = references(2**14, random_encoder, start_encoder)
    inputs = data.test.images.astype(np.float32) / 127.5 - 1
    for name, encoder in (("random_weights", random_encoder), ("start_weights", start_encoder)):
        expected = encoder(inputs, training=False)["global"]
        np.testing.assert_allclose(by_name[name](data).test["global"], expected, atol=1e-5)
    pixels = by_name["pixels"](data).test["pixels"]
    np.testing.assert_allclose(pixels, inputs.reshape(30, -1), atol=1e-5)


def test_all_are_pooled_to_as_many_features_as_the_encoder(splits):
    data = EvaluationData.from_splits(splits)
    for encode in references(16, small_encoder(0), small_encoder(1)).values():
        assert all(features.shape[1] <= 16 for features in encode(data).test.values())


def test_only_the_quick_measures_are_taken_of_references(splits):
    settings = Experiment.of(name="a", measures="knn,svm")
    by_name = references(settings.evaluation.max_features)
    content = evaluate.run_measures(by_name["pixels"], by_name, splits, settings).content
    assert "svm" in content
    assert set(content["references"]["pixels"]) == {"knn"}


def keras_file(path, *shape):
    """A Keras file that gives the maximum of each channel."""
    inputs = keras.Input(shape)
    keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs)).save(path)
    return str(path)


def saved_model(path, function):
    """A SavedModel of a function of images of 8x8 pixels."""
    module = tf.Module()
    module.__call__ = tf.function(function, [tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    signature = module.__call__.get_concrete_function()
    tf.saved_model.save(module, str(path), signatures=signature)
    return path


@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 10, 3), (None, None, 3)])
def test_a_named_reference_takes_images_of_another_size_and_channels(splits, tmp_path, shape):
    path = keras_file(tmp_path / "maximum.keras", *shape)
    settings = Experiment.of(name="a", reference=path)
    by_name = references(100, named=load_named(settings, splits))
    assert list(by_name) == ["pixels", "maximum"]
    data = EvaluationData.from_splits(splits)
    features = by_name["maximum"](data).test["global"]
    images = data.test.images.astype(np.float32) / 255
    if shape[0] == 12:
        images = tf.image.resize(images, shape[:2], antialias=True).numpy()
    expected = np.repeat(images.max((1, 2)), shape[-1], axis=1)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_a_reference_that_cannot_be_measured_is_refused_before_the_work(splits, tmp_path):
    def load(path):
        load_named(Experiment.of(name="a", reference=str(path)), splits)

    (tmp_path / "broken.keras").write_text("nothing")
    with pytest.raises(InputError, match=r"^--reference=.*broken.keras cannot be loaded"):
        load(tmp_path / "broken.keras")
    with pytest.raises(InputError, match=r"^--reference=.*nowhere is no SavedModel"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"the encoder in --reference=.*4.keras takes images of 4"):
        load(keras_file(tmp_path / "4.keras", 8, 8, 4))
    with pytest.raises(InputError, match=r"^--reference=.*1 cannot encode images of 8x8") as error:
        load(saved_model(tmp_path / "1", lambda x: tf.ensure_shape(x, [1, 8, 8, 3])))
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"^--reference=.*2 does not give the features of each"):
        load(saved_model(tmp_path / "2", lambda x: tf.reduce_mean(x, [0, 1, 2], keepdims=True)))


def test_the_verdict_on_an_encoder_counts_named_references(tmp_path, splits, capsys):
    """An encoder that is its own reference, under two names, cannot be told apart from itself."""
    path = keras_file(tmp_path / "maximum.keras", 8, 8, 1)
    (tmp_path / "run").mkdir()
    settings = Experiment.of(
        name="a",
        run_dir=str(tmp_path / "run"),
        encoder_path=path,
        reference=f"{path},same={path}",
        measures="knn",
    )
    evaluate_stage.evaluate_saved(settings, splits)
    content = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert list(content["references"]) == ["pixels", "maximum", "same"]
    assert content["references"]["same"]["knn"] == content["knn"]
    verdict = content["verdict"]
    assert verdict["n"] == 30
    counts = np.bincount(splits.test.labels)
    assert verdict["most_frequent_class"] == {
        "name": splits.label_names[counts.argmax()],
        "fraction": counts.max() / 30,
    }
    if verdict["reference"] == "maximum":  # rather than pixels, by chance
        assert (verdict["difference"], verdict["helped"]) == (0, "unclear")
    assert "of maximum and of same, probes with one seed" in content["protocol"]["references"]
    assert "paired bootstrap" in content["protocol"]["verdict"]
    assert capsys.readouterr().out.splitlines()[-1] == f"verdict: {verdict['sentence']}"
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert verdict["sentence"].partition(":")[0] in page


def test_a_reference_that_fails_on_the_images_takes_nothing_with_it(splits, tmp_path, monkeypatch):
    def fail(_):
        raise ValueError("too deep")

    settings = Experiment.of(name="a", run_dir=str(tmp_path), measures="knn")
    by_name = references(100, named={"deep": SavedEncoder((8, 8, 3), fail, "")})
    with pytest.raises(MeasureError, match=r"features of deep: .*too deep"):
        evaluate_stage._evaluate(settings, splits, representation.from_pixels, by_name, None, {})
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["references"]["deep"] == {}
    assert "too deep" in content["protocol"]["features of deep"]
    assert "knn" in content["references"]["pixels"]
