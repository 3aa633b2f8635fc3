"""Deep adaptive clustering: its equations, and its thresholds."""

import finite_differences
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.clustering.dac import DAC, pair_loss
from keras_models.distribute.randomness import StepRandom

LOGITS = 2 * np.random.default_rng(0).normal(size=(7, 4))
LOWER, UPPER = 0.5, 0.8


def label_features(logits):
    x = np.exp(logits)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def equation(logits):
    """The loss pair by pair, over the labelled pairs of two images."""
    labels = label_features(logits)
    losses = []
    for i in range(len(labels)):
        for j in range(len(labels)):
            cosine = labels[i] @ labels[j]
            if i != j and cosine > UPPER:
                losses.append(-np.log(cosine))
            elif i != j and cosine < LOWER:
                losses.append(-np.log(1 - cosine))
    assert 10 < len(losses) < 40
    return np.mean(losses)


def test_the_loss_is_the_equation_with_its_gradient():
    def ours(logits):
        x = tf.exp(logits)
        labels = x / tf.norm(x, axis=1, keepdims=True)
        return pair_loss(labels, labels, tf.range(7), LOWER, UPPER)[0]

    finite_differences.assert_equation(ours, equation, LOGITS)


def test_a_batch_without_a_labelled_pair_costs_nothing():
    labels = tf.constant(label_features(LOGITS), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(labels)
        loss, similar, dissimilar = pair_loss(labels, labels, tf.range(7), -1.0, 2.0)
    assert float(loss) == float(similar) == float(dissimilar) == 0
    np.testing.assert_array_equal(tape.gradient(loss, labels), 0)


def test_thresholds_move_until_they_meet():
    encoder = small.build(small.dac).encoder
    model = DAC(encoder, 3, threshold_steps=10, threshold_rate=0.1)
    for step, value in ((0, 0.0), (9, 0.0), (10, 0.11), (25, 0.22), (10**6, 0.45)):
        lower, upper = model.thresholds(tf.constant(step))
        np.testing.assert_allclose([lower, upper], [0.455 + 0.1 * value, 0.95 - value], rtol=1e-5)
    np.testing.assert_allclose(lower, upper, rtol=1e-6)


def test_the_model_has_the_pairs_of_its_batch():
    model = small.build(small.dac)
    random = StepRandom(0, tf.constant(4))
    features = model.encoder(small.BATCH.images)["global"]
    labels = model.label_features(features).numpy()
    assert labels.min() > 0
    np.testing.assert_allclose(np.linalg.norm(labels, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.scores(features), labels)
    losses = model.objective(small.BATCH, random, training=False)
    expected = pair_loss(labels, labels, tf.range(16), *model.thresholds(4))
    np.testing.assert_allclose(losses.loss, expected[0], rtol=1e-4)
    np.testing.assert_allclose(losses.metrics["similar_pairs"], expected[1], rtol=1e-4)


def test_steps_lower_the_loss_at_fixed_thresholds():
    model = small.build(lambda encoder: DAC(encoder, 3, threshold_steps=1000))
    losses = small.losses(model, 30)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_the_objective_is_not_evaluated_because_its_thresholds_are_of_a_training_step():
    with pytest.raises(ValueError, match="the objective of DAC is about its training images alone"):
        small.build(small.dac).evaluate(small.IMAGES)


def test_steps_below_one_are_refused():
    with pytest.raises(ValueError, match="threshold_steps=0; expected at least 1"):
        DAC(small.build(small.dac).encoder, 3, 0)
