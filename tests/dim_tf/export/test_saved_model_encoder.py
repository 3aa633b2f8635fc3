"""An exported encoder is trained further, and exported again with a head."""

import shutil

import numpy as np
import pytest
import small_export
import tensorflow as tf
from small_export import head, images

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.export import classifier_saved_model, saved_model, saved_model_encoder
from dim_tf.export.feature import GLOBAL
from dim_tf.export.saved_model import SavedModelOptions
from dim_tf.finetuning.image_classifier import ImageClassifier
from dim_tf.system.errors import InputError


def test_it_gives_the_encoders_feature(small_model):
    path, encoder = small_model
    loaded = saved_model_encoder.load(str(path))
    assert loaded.image_shape == (8, 8, 3)
    assert GLOBAL.dimension(loaded) == 5
    wanted = saved_model.keras_features(encoder, images())
    np.testing.assert_allclose(saved_model.keras_features(loaded, images()), wanted, atol=1e-5)


@pytest.mark.slow
def test_its_weights_are_trained_and_exported_with_a_head(small_model, tmp_path):
    loaded = saved_model_encoder.load(str(small_model[0]))
    classifier = ImageClassifier(loaded, 3)
    classifier.compile(learning_rate=0.01, jit_compile=False)
    classifier.build()
    classifier.set_head(head())
    before = [w.numpy() for w in loaded.trainable_weights]
    classifier.train_on_batch(images() * 2 - 1, np.arange(6) % 3)
    changed = [
        (w.numpy() != start).any()
        for w, start in zip(loaded.trainable_weights, before, strict=True)
    ]
    assert all(changed)
    trained, options = classifier.linear_head(head().label_names), SavedModelOptions({})
    classifier_saved_model.save(loaded, trained, tmp_path / "1", options)
    difference = classifier_saved_model.check(tmp_path / "1", loaded, trained, images(), options)
    assert difference < 1e-5
    moved = shutil.move(tmp_path / "1", tmp_path / "2")  # and without the first export's files
    answer = tf.saved_model.load(str(moved))(images())
    np.testing.assert_allclose(np.sum(answer, axis=1), 1, atol=1e-5)


def test_what_cannot_be_trained_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"--encoder_path=.* cannot be trained \(.*holds no Saved"):
        saved_model_encoder.load(str(tmp_path))
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/metadata.json").write_text('{"value_scaling": {}}')
    with pytest.raises(InputError, match="takes arrays in their own values, and the images are "):
        saved_model_encoder.load(str(tmp_path))


def test_an_encoder_of_arrays_takes_their_values(tmp_path):
    scaling = ChannelScaling((-2.0, 0.0, 10.0), (2.0, 5.0, 90.0))
    encoder = small_export.save(tmp_path, scaling=scaling)
    (tmp_path / "assets/metadata.json").write_text('{"value_scaling": {}}')
    loaded = saved_model_encoder.load(str(tmp_path), scaling=scaling)
    wanted = saved_model.keras_features(encoder, images())
    np.testing.assert_allclose(saved_model.keras_features(loaded, images()), wanted, atol=1e-5)


def test_an_encoder_of_pictures_takes_no_arrays(small_model):
    with pytest.raises(InputError, match="takes pictures, and the images are arrays in their own"):
        saved_model_encoder.load(str(small_model[0]), scaling=ChannelScaling((0.0,), (1.0,)))
