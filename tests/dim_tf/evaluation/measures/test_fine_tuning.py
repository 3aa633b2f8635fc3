"""Fine-tuning: what is trained, on which images, and what stays as it was."""

import numpy as np
import pytest
import tensorflow as tf
from small_backbone import small_backbone_encoder
from small_export import small_encoder

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measure_spec import TrainableEncoders
from dim_tf.evaluation.measures import fine_tuning
from dim_tf.evaluation.measures.fine_tuning import FineTuning


def bright_and_dark(count, size=8):
    """Images of two classes that differ in their brightness."""
    labels = np.arange(count) % 2
    noise = np.random.default_rng(0).integers(0, 100, (count, size, size, 3))
    return EvaluationSplit((noise + 150 * labels[:, None, None, None]).astype(np.uint8), labels)


@pytest.mark.slow
def test_both_networks_learn_and_the_encoders_stay():
    encoder, random_encoder = small_encoder(), small_encoder()
    random_encoder.set_weights([w + 0.1 for w in encoder.get_weights()])
    before = [w.copy() for w in encoder.get_weights() + random_encoder.get_weights()]
    data = EvaluationData(
        bright_and_dark(128), bright_and_dark(50), ("dark", "bright"), "synthetic"
    )
    measure = FineTuning(
        TrainableEncoders(encoder, random_encoder),
        data,
        epochs=10,
        label_fraction=0.25,
        learning_rate=1e-3,
    )
    results = {r.metric: r for r in measure.run()}
    assert set(results) == set(measure.metrics)
    for result in results.values():
        assert result.endpoint == "conv"
        assert result.value == 1.0
    assert "32 labelled images" in measure.protocol["fine_tuned"]
    after = encoder.get_weights() + random_encoder.get_weights()
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_every_weight_of_the_encoder_below_the_head_is_trained(monkeypatch):
    classifiers, initial_weights = [], []
    make = fine_tuning.EncoderClassifier

    def spy(*arguments):
        classifiers.append(make(*arguments))
        initial_weights.append(classifiers[-1].encoder.get_weights())
        return classifiers[-1]

    monkeypatch.setattr(fine_tuning, "EncoderClassifier", spy)
    encoder, random_encoder = small_encoder(), small_encoder()
    random_encoder.set_weights([w + 0.125 for w in encoder.get_weights()])
    data = EvaluationData(bright_and_dark(64), bright_and_dark(8), ("dark", "bright"), "synthetic")
    encoders = TrainableEncoders(encoder, random_encoder)
    list(FineTuning(encoders, data, epochs=1, learning_rate=1e-2).run())
    kernels = [v for v in classifiers[0].encoder.variables if v.name == "kernel"]
    theirs = [v for v in encoder.variables if v.name == "kernel"]
    changed = [not np.array_equal(a, b) for a, b in zip(kernels, theirs, strict=True)]
    assert changed == [True, False, False]  # fc and global are above conv
    for weights, of in zip(initial_weights, (encoder, random_encoder), strict=True):
        for weight, expected in zip(weights, of.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_a_keras_model_is_fine_tuned_as_it_was_trained():
    """Its dropout drops and its batch norm takes the batch's statistics, in training alone."""
    encoder = small_backbone_encoder()
    model = fine_tuning.EncoderClassifier(
        fine_tuning.clone_encoder(encoder), "conv", 2, max_features=2**14
    )
    images = tf.constant(bright_and_dark(16, 16).images)
    norm = model.encoder.backbone.get_layer("stem_norm")
    before = norm.moving_mean.numpy()
    np.testing.assert_array_equal(model(images), model(images))
    np.testing.assert_array_equal(norm.moving_mean, before)
    first, second = model(images, training=True), model(images, training=True)
    assert not np.array_equal(first, second)
    assert not np.array_equal(norm.moving_mean, before)
    new = small_backbone_encoder()
    for mine, theirs in zip(encoder.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)  # the copy alone has changed


def test_a_large_map_is_averaged_under_the_head():
    encoder = small_backbone_encoder()
    model = fine_tuning.EncoderClassifier(
        fine_tuning.clone_encoder(encoder), "conv", 2, max_features=35
    )
    model(tf.constant(bright_and_dark(4, 16).images))
    hidden = model.head.layers[1]
    assert hidden.kernel.shape == (2 * 2 * 8, 200)
    data = EvaluationData(
        bright_and_dark(4, 16), bright_and_dark(4, 16), ("dark", "bright"), "synthetic"
    )
    encoders = TrainableEncoders(encoder, encoder)
    measure = FineTuning(encoders, data, epochs=1, max_features=35)
    assert "200 units on conv (4x4x8 pooled to 2x2x8)" in measure.protocol["fine_tuned"]
    measure = FineTuning(encoders, data, epochs=1)
    assert "pooled" not in measure.protocol["fine_tuned"]


@pytest.mark.slow
def test_every_weight_of_a_keras_model_below_the_head_is_trained(monkeypatch):
    classifiers = []
    make = fine_tuning.EncoderClassifier

    def spy(*arguments):
        classifiers.append(make(*arguments))
        return classifiers[-1]

    monkeypatch.setattr(fine_tuning, "EncoderClassifier", spy)
    encoder = small_backbone_encoder()
    data = EvaluationData(
        bright_and_dark(256, 16), bright_and_dark(50, 16), ("dark", "bright"), "synthetic"
    )
    encoders = TrainableEncoders(encoder, small_backbone_encoder(1))
    measure = FineTuning(encoders, data, epochs=20, learning_rate=1e-2, max_features=35)
    results = {result.metric: result for result in measure.run()}
    assert set(results) == {"fine_tuned", "fully_supervised"}
    assert all(result.endpoint == "conv" for result in results.values())
    assert all(result.value > 0.9 for result in results.values())
    for mine, theirs in zip(classifiers[0].encoder.weights, encoder.weights, strict=True):
        of_head = "global" in mine.path  # above conv
        assert np.array_equal(mine, theirs) == of_head, mine.path
