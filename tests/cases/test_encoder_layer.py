"""A Keras file runs no SavedModel that it names itself; a moved one can be given."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_export import close, images

from dim_tf.evaluation import saved_encoder
from dim_tf.export import EncoderLayer, card, encoder_at
from dim_tf.system.errors import InputError


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """The folder of a SavedModel whose call writes the file OWNED.txt beside it."""
    folder = tmp_path_factory.mktemp("evil")
    root = tf.train.Checkpoint(v=tf.Variable([1.0]))

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32, "images")])
    def call(pixels):
        with tf.control_dependencies([tf.io.write_file(str(folder / "OWNED.txt"), "here")]):
            return tf.reduce_mean(pixels, [1, 2]) * root.v[0]

    root.__call__ = call
    root.variables = root.trainable_variables = [root.v]
    tf.saved_model.save(root, str(folder / "model"))
    return folder


def model_of(layer, shape=(8, 8, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def written(writer, path, wrapped=False):
    """Writes a Keras file around the layer; what making it wrote is gone again."""
    layer = EncoderLayer(str(writer / "model"))
    if wrapped:
        model_of(keras.layers.TimeDistributed(layer), (2, 8, 8, 3)).save(path)
    else:
        model_of(layer).save(path)
    (writer / "OWNED.txt").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["innocent.keras", "innocent.h5"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_safe_mode_loads_no_savedmodel_that_a_file_names(writer, tmp_path, name, wrapped):
    written(writer, tmp_path / name, wrapped)
    with pytest.raises(
        ValueError, match="EncoderLayer, and a SavedModel can do what a program can"
    ):
        keras.models.load_model(tmp_path / name)
    assert not (writer / "OWNED.txt").exists()


def test_other_ways_to_a_layer_are_as_safe(writer, tmp_path):
    model = model_of(EncoderLayer(str(writer / "model")))
    layer = model.layers[-1]
    (writer / "OWNED.txt").unlink(missing_ok=True)
    for load in (
        lambda: keras.models.model_from_json(model.to_json()),
        lambda: keras.layers.deserialize(keras.layers.serialize(layer)),
        lambda: EncoderLayer.from_config(layer.get_config()),
        lambda: keras.Model.from_config(model.get_config()),
    ):
        with pytest.raises(ValueError, match="EncoderLayer"):
            load()
    assert not (writer / "OWNED.txt").exists()


def test_the_command_line_measures_no_such_file(writer, tmp_path):
    path = tmp_path / "innocent.keras"
    written(writer, path)
    with pytest.raises(InputError, match=r"cannot be loaded \(the Keras file names the SavedModel"):
        saved_encoder.load(str(path))
    assert not (writer / "OWNED.txt").exists()


def test_a_remote_path_in_a_file_is_refused_though_the_file_is_trusted(writer, tmp_path):
    layer = EncoderLayer(str(writer / "model"))
    model = model_of(layer)
    layer.saved_model_path = "gs://somewhere/model"
    model.save(tmp_path / "remote.keras")
    with pytest.raises(ValueError, match="remote SavedModel 'gs://somewhere/model'"):
        keras.models.load_model(tmp_path / "remote.keras", safe_mode=False)


def test_a_moved_savedmodel_takes_its_new_path_and_the_files_weights(small_model, tmp_path):
    shutil.copytree(small_model[0], tmp_path / "first")
    layer = EncoderLayer(str(tmp_path / "first"))
    model = model_of(layer)
    layer.weights[0].assign(layer.weights[0] + 1.0)
    model.save(tmp_path / "model.keras")
    wanted = np.array(model(images()))
    shutil.move(tmp_path / "first", tmp_path / "moved")
    with pytest.raises(ValueError, match="encoder_at"):
        keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"has moved, load that file within dim_tf.export.encoder"):
        keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    with encoder_at(tmp_path / "moved"):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    close(loaded(images()), wanted)
    assert loaded.layers[-1].saved_model_path == str(tmp_path / "moved")


def test_weights_keep_their_names(small_model):
    path, encoder = small_model
    layer = EncoderLayer(str(path))
    names = {weight.name for weight in layer.weights}
    assert names == {variable.path.replace("/", "_") for variable in encoder.variables}
    optimizer = keras.optimizers.Adam()
    optimizer.build(layer.trainable_variables)
    moments = {v.name for v in optimizer.variables if v.name.endswith("_momentum")}
    assert moments == {f"{w.path.replace('/', '_')}_momentum" for w in layer.trainable_variables}


def test_a_head_on_keras_own_layer_trains_if_that_layer_does_not(small_model):
    """TFSMLayer gives weights names that no optimizer of Keras can take (3.15)."""

    def head(**arguments):
        inputs = keras.Input((8, 8, 3))
        layer = keras.layers.TFSMLayer(
            str(small_model[0]), call_endpoint="serving_default", **arguments
        )
        model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)["global"]))
        model.compile("sgd", "mse", run_eagerly=True)
        return layer, model

    _, trained = head()
    trained.compile("adam", "mse")
    with pytest.raises(ValueError, match="not a valid scope name"):
        trained.train_on_batch(images(), np.zeros((6, 1)))
    says = 'TFSMLayer($quoted,call_endpoint="serving_default",trainable=False)'
    assert says in "".join(Path(card.__file__).read_text().split())
    layer, model = head(trainable=False)
    before = [w.numpy() for w in layer.weights]
    model.train_on_batch(images(), np.zeros((6, 1)))
    assert len(model.trainable_variables) == 2
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
