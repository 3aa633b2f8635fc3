"""Encoders from files: which tensor is measured, at which size, and what is refused."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import small_export
import tensorflow as tf

from dim_tf.data import DataRequest, image_ops, load
from dim_tf.evaluation import representation, saved_encoder
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.system.errors import InputError
from keras_models.encoders import keras_file


def splits(size=8, channels=1):
    rng = np.random.default_rng(0)

    def split(count):
        images = rng.integers(0, 256, (count, size, size, channels), np.uint8)
        return EvaluationSplit(images, np.arange(count) % 2)

    return EvaluationData(split(6), split(4), ("a", "b"), "synthetic")


def test_ours_has_the_endpoints_of_the_encoder(small_model):
    path, encoder = small_model
    data = splits()
    measured = representation.from_saved_encoder(saved_encoder.load(str(path)), data)
    wanted = representation.from_encoder(encoder, data)
    assert list(measured.test) == ["conv", "fc", "global", "local_pooled"]
    for endpoint, features in wanted.test.items():
        small_export.close(measured.test[endpoint], features)


def means_of_channels(images):
    """A known representation: the mean of each channel and the image's height."""
    height = tf.cast(tf.shape(images)[1], tf.float32)
    mean = tf.reduce_mean(images, [1, 2])
    return tf.concat([mean, tf.fill([tf.shape(images)[0], 1], height)], axis=1)


def save_function(path, function, *shape, dtype=tf.float32, signature=True):
    module = tf.Module()
    spec = tf.TensorSpec([None, *shape], dtype, name="x")
    module.__call__ = tf.function(function, input_signature=[spec])
    signatures = module.__call__.get_concrete_function() if signature else None
    tf.saved_model.save(module, str(path), signatures=signatures)
    return str(path)


@pytest.mark.parametrize("signature", [True, False], ids=["signature", "call"])
def test_that_of_others_gives_one_global_feature(tmp_path, signature):
    """Images come in [0, 1], with three channels, at the size that it takes."""
    path = save_function(tmp_path, means_of_channels, 12, 12, 3, signature=signature)
    data = splits(size=6)
    measured = representation.from_saved_encoder(saved_encoder.load(path), data)
    assert list(measured.train) == ["global"]
    mean = data.train.images.mean((1, 2, 3)) / 255
    np.testing.assert_allclose(measured.train["global"][:, 0], mean, atol=0.02)
    np.testing.assert_array_equal(measured.train["global"][:, 3], 12)
    assert measured.endpoint_summary == "flattened: global 4; missing in this encoder: conv, fc"


def test_one_of_any_size_gets_the_images_as_they_are(tmp_path):
    path = save_function(tmp_path, lambda x: x, None, None, 3)
    data = splits(channels=3)
    measured = representation.from_saved_encoder(saved_encoder.load(path), data)
    expected = data.test.images.mean((1, 2)) / 255  # a map is averaged over its locations
    np.testing.assert_allclose(measured.test["global"], expected, rtol=1e-5)


def test_a_keras_file(tmp_path):
    inputs = keras.Input([8, 8, 3])
    model = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs))
    model.save(tmp_path / "a.keras")
    data = splits(channels=3)
    measured = representation.from_saved_encoder(
        saved_encoder.load(str(tmp_path / "a.keras")), data
    )
    np.testing.assert_allclose(
        measured.test["global"], data.test.images.max((1, 2)) / 255, rtol=1e-6
    )


def test_what_cannot_be_measured_is_refused(tmp_path):
    def two(x):
        return {"a": x, "b": x}

    def check(path, message):
        with pytest.raises(InputError, match=message):
            representation.from_saved_encoder(saved_encoder.load(str(path)), splits())

    check(tmp_path, "no SavedModel")
    (tmp_path / "broken.keras").write_text("nothing")
    check(tmp_path / "broken.keras", "cannot be loaded")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/saved_model.pb").write_text("nothing")
    check(tmp_path / "broken", "cannot be loaded")
    check(save_function(tmp_path / "1", lambda x: x, 5), r"takes float32 \(None, 5\)")
    check(save_function(tmp_path / "2", lambda x: x, 8, 8, 3, dtype=tf.uint8), "takes uint8")
    check(save_function(tmp_path / "3", lambda x: x, 8, 8, 4), "4 channels")
    check(save_function(tmp_path / "4", two, 8, 8, 3), "gives a, b; expected")


@keras.saving.register_keras_serializable("test_saved_encoder")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def call(self, images):
        return self.dense(images)


@pytest.mark.parametrize("kind", ["subclassed", "sequential"])
def test_a_keras_file_that_does_not_tell_its_inputs_is_refused(tmp_path, kind):
    if kind == "subclassed":
        model = Subclassed()
        model(np.zeros((1, 8, 8, 3), np.float32))
    else:
        model = keras.Sequential([keras.layers.GlobalMaxPooling2D()])  # without an input
    path = str(tmp_path / "a.keras")
    model.save(path)
    with pytest.raises(InputError, match="does not tell its inputs"):
        saved_encoder.load(path)


def test_endpoints_of_others_are_not_taken_for_ours(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")

    def gives(**outputs):
        function = tf.function(lambda x: {k: x * v for k, v in outputs.items()}, [spec])
        return function.get_concrete_function()

    signatures = {"endpoints": gives(theirs=2.0), "serving_default": gives(anything=3.0)}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    encoder = saved_encoder.load(str(tmp_path))
    assert encoder.description.endswith(", serving_default")
    outputs = encoder.endpoints(tf.ones([1, 8, 8, 3]))
    np.testing.assert_array_equal(outputs["global"], np.full((1, 3), 3.0))


@pytest.mark.slow
def test_a_keras_application_is_measured_by_the_command(tmp_path):
    """Of random weights, as a SavedModel, which the command measures, and as a Keras file."""
    inputs = keras.Input([96, 96, 3])
    scaled = keras.layers.Rescaling(2.0, -1.0)(inputs)  # images come in [0, 1]
    application = keras.applications.MobileNetV2(
        (96, 96, 3), include_top=False, pooling="avg", weights=None
    )
    model = keras.Model(inputs, application(scaled))
    digits = EvaluationData.from_splits(load("digits", DataRequest()))
    images = image_ops.with_channels(image_ops.to_unit(digits.train.images[:64]), 3)
    images = tf.image.resize(images, [96, 96], antialias=True)
    for layer in application.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)  # else random weights let all activations vanish
    model.export(tmp_path / "theirs", verbose=False)
    model.save(tmp_path / "theirs.keras")

    wanted = model(images[:8], training=False).numpy()
    assert wanted.std(axis=0).max() > 0.1
    for path in ("theirs", "theirs.keras"):
        measured = saved_encoder.load(str(tmp_path / path)).endpoints(images[:8])["global"]
        np.testing.assert_allclose(measured, wanted, rtol=1e-3, atol=1e-3)

    run_dir = tmp_path / "run"
    command = [sys.executable, "-m", "dim_tf.main", "--mode=evaluate", "--measures=knn,linear"]
    command += ["--probe_epochs=1", "--probe_seeds=1", f"--run_dir={run_dir}"]
    command += [f"--encoder_path={tmp_path}/theirs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (run_dir / "report.html").stat().st_size > 10_000
    evaluation = json.loads((run_dir / "evaluation.json").read_text())
    assert evaluation["protocol"]["endpoints"].endswith("missing in this encoder: conv, fc")
    assert evaluation["protocol"]["encoder"].endswith("theirs, serving_default")
    assert set(evaluation["references"]) == {"pixels"}
    # A deep network of random weights hardly tells digits apart, so by the features themselves.
    features = representation.from_saved_encoder(
        saved_encoder.load(str(tmp_path / "theirs")), digits
    )
    (expected,) = NearestNeighbours(features).run()
    assert expected.value > 0.12  # chance: 0.1
    np.testing.assert_allclose(evaluation["knn"]["global"], expected.value, atol=0.005)


def test_an_archive_stays_where_it_is_and_runs_nothing(tmp_path):
    """A .keras file is a zip, which must not leave its folder when unpacked, or fill the disk."""
    path = tmp_path / "a.keras"
    for name, says in (("../b", "leaves the archive"), ("/b/c", "leaves the archive")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")
        with pytest.raises(InputError, match=f"a.keras cannot be loaded .*{says}"):
            saved_encoder.load(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "x" * 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras_file, "MAX_UNPACKED", 99)
        with pytest.raises(InputError, match="unpacks to 100 bytes; expected at most 99"):
            saved_encoder.load(str(path))
    for content in (b"", b"no zip", path.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a.keras cannot be loaded"):
            saved_encoder.load(str(path))


def test_a_lambda_layer_is_refused(tmp_path):
    """It is Python's bytecode in the file."""
    inputs = keras.Input([8, 8, 3])
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x[:, 0, 0])(inputs))
    path = tmp_path / "a.keras"
    model.save(path)
    with pytest.raises(InputError, match=r"a.keras cannot be loaded .*[Ll]ambda"):
        saved_encoder.load(str(path))
