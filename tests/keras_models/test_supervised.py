import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.objective_model import Batch
from keras_models.supervised import Supervised

ATTRIBUTES = np.random.default_rng(1).integers(0, 2, (16, 4))


def logits(model):
    random = StepRandom(0, tf.constant(0))
    features = model.encoder(small.IMAGES, training=True)["global"]
    return np.float64(model.logits(features, True, random))


def test_loss_is_the_cross_entropy_of_the_classes():
    model = small.build(small.supervised)
    scores = logits(model)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    metrics = small.build(small.supervised).train_step(small.BATCH)
    expected = -log_p[np.arange(16), small.LABELS].mean()
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(scores.argmax(1) == small.LABELS))


def test_loss_is_the_mean_cross_entropy_of_the_attributes():
    def make(encoder):
        return Supervised(encoder, labels=4, multi_label=True)

    p = 1 / (1 + np.exp(-logits(small.build(make))))
    batch = Batch(small.IMAGES, ATTRIBUTES)
    metrics = small.build(make).train_step(batch)
    likelihood = np.where(ATTRIBUTES == 1, p, 1 - p)
    np.testing.assert_allclose(metrics["loss"], -np.log(likelihood).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(likelihood > 0.5))


@pytest.mark.slow
def test_it_learns_the_labels_of_random_images():
    model = small.build(small.supervised, learning_rate=1e-2)
    small.losses(model, 40)
    result = model.logits(model.encoder(small.IMAGES)["global"])
    assert np.mean(np.argmax(result, 1) == small.LABELS) > 0.8


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="give Batch\\(images, labels=labels\\)"):
        small.build(small.supervised).train_step(small.BATCH.images)


@pytest.mark.slow
def test_a_step_of_two_micro_batches_shares_the_labels_out():
    parts = []
    for part in (slice(0, 8), slice(8, 16)):
        one = small.build(small.supervised)
        one.hidden.dropout = 0.0
        parts.append(one.train_step(Batch(*(x[part] for x in small.BATCH)))["loss"])
    model = small.build(small.supervised, micro_batches=2)
    model.hidden.dropout = 0.0
    metrics = model.train_step(small.BATCH)
    np.testing.assert_allclose(metrics["loss"], np.mean(parts), rtol=1e-5)
