"""The fast training of probes: equal to Keras' `fit`, whatever the seeds beside it."""

import keras
import numpy as np
import pytest

from dim_tf.evaluation import classifier_training, probe_training
from dim_tf.evaluation.probe_training import ProbeTraining
from keras_models.nn import layers

CLASSES = 3
ALL = np.arange(150)  # two batches of 64, and one of 22
PLAIN = ProbeTraining(epochs=3, learning_rate=1e-2, dropout=0.0)


def samples(multi_label=False):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, 200)
    features = rng.normal(2.0, 3.0, (200, 7)) + np.eye(CLASSES, 7)[classes]
    labels = np.eye(CLASSES, dtype=np.int64)[classes] if multi_label else classes
    features = features.astype(np.float32)
    return features[:150], labels[:150], features[150:]


def keras_logits(hidden, training, seed, multi_label=False):
    """Logits of a Keras model with the same initial weights and order of images."""
    features, labels, test_features = samples(multi_label)
    if hidden:
        model = keras.Sequential(classifier_training.mlp_hidden_layers()[:-1])  # no dropout
    else:
        model = keras.Sequential([classifier_training.standardising_layer(features)])
    model.add(layers.Dense(CLASSES))
    model.build(features.shape)
    weights = probe_training.initial_weights(hidden, features.shape[1], CLASSES, seed)
    for variable, name in zip(model.trainable_variables, weights, strict=True):
        variable.assign(weights[name].reshape(variable.shape))
    order = [probe_training.epoch_order(len(features), seed, epoch) for epoch in range(3)]

    def in_order(model, inputs, labels, epochs, **arguments):
        """`fit` without its own order."""
        for epoch, indices in enumerate(order[:epochs]):
            rows = inputs[indices], labels[indices]
            model.fit_(*rows, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Sequential, "fit_", keras.Sequential.fit, raising=False)
        patch.setattr(keras.Sequential, "fit", in_order)
        classifier_training.fit_classifier(
            model, features, labels, training.epochs, training.learning_rate
        )
    return model(test_features, training=False).numpy()


@pytest.mark.parametrize(
    ("hidden", "multi_label", "max_xla_features"),
    [(False, False, 0), (False, True, 100), (True, False, 0), (True, False, 100)],
)
def test_it_equals_keras(hidden, multi_label, max_xla_features, monkeypatch):
    monkeypatch.setattr(probe_training, "MAX_XLA_FEATURES", max_xla_features)
    # Of two steps of both seeds.
    monkeypatch.setattr(probe_training, "BUFFER_BYTES", 2 * 2 * 64 * 4 * (207 if hidden else 7))
    logits = probe_training.train(*samples(multi_label), CLASSES, hidden, PLAIN, indices=[ALL, ALL])
    for seed in (0, 1):
        expected = keras_logits(hidden, PLAIN, seed, multi_label)
        np.testing.assert_allclose(logits[seed], expected, rtol=1e-3, atol=1e-4)
    assert np.abs(logits[0] - logits[1]).max() > 0.01


@pytest.mark.parametrize("hidden", [False, True])
def test_a_seed_is_the_same_beside_others(hidden):
    """Also its dropout, and where the buffer has room for other numbers of steps.

    To rounding, which depends on the processor and grows with the steps; another dropout would
    differ a hundred times as much (the next test).
    """
    training = ProbeTraining(epochs=2, learning_rate=1e-2)
    alone = probe_training.train(*samples(), CLASSES, hidden, training, [ALL])
    beside = probe_training.train(*samples(), CLASSES, hidden, training, [ALL, ALL, ALL])
    np.testing.assert_allclose(beside[0], alone[0], rtol=1e-3, atol=1e-4)


def test_dropout_matters():
    dropped = probe_training.train(*samples(), CLASSES, True, ProbeTraining(3, 1e-2), [ALL])
    plain = probe_training.train(*samples(), CLASSES, True, PLAIN, [ALL])
    assert np.abs(dropped - plain).max() > 0.01


def test_features_may_be_in_a_file(tmp_path):
    features, labels, test_features = samples()
    np.save(tmp_path / "features.npy", features)
    in_file = np.load(tmp_path / "features.npy", mmap_mode="r")
    arguments = (labels, test_features, CLASSES, False, PLAIN, [ALL])
    np.testing.assert_array_equal(
        probe_training.train(in_file, *arguments), probe_training.train(features, *arguments)
    )


def test_a_seed_sees_only_its_images():
    features, labels, test_features = samples()
    indices = np.resize(np.arange(20), 150)
    spoilt = features.copy()
    spoilt[20:] = np.nan
    logits = [
        probe_training.train(x, labels, test_features, CLASSES, False, PLAIN, [indices])
        for x in (features, spoilt)
    ]
    np.testing.assert_array_equal(*logits)


def test_the_learning_rate_drops_after_two_thirds():
    rates = [ProbeTraining(9, 1e-4).rates(epoch, 2) for epoch in range(9)]
    np.testing.assert_allclose(rates, [[1e-4] * 2] * 6 + [[1e-5] * 2] * 3, rtol=1e-6)
    assert ProbeTraining(1, 1e-4).rates(0, 1) == np.float32(1e-4)


def test_the_learning_rate_falls_along_a_cosine():
    training = ProbeTraining(2, 1e-2, cosine=True)
    rates = [*training.rates(0, 2), *training.rates(1, 2)]
    np.testing.assert_allclose(rates, 5e-3 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-6)
