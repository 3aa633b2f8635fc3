"""Losses and accuracy of predicted labels, compared with the equations."""

import numpy as np
import pytest
import tensorflow as tf

from keras_models import classification

LOGITS = np.array([[2.0, -1.0, 0.5], [-3.0, 0.2, 0.1]], np.float32)


def test_classes():
    labels = [0, 2]
    losses, hits = classification.losses_and_correct(LOGITS, tf.constant(labels), False)
    expected = [np.log(np.exp(row).sum()) - row[k] for row, k in zip(LOGITS, labels, strict=True)]
    assert losses.numpy() == pytest.approx(expected, rel=1e-6)
    assert hits.numpy().tolist() == [True, False]


def test_attributes():
    labels = np.array([[1, 0, 0], [0, 1, 0]])
    losses, hits = classification.losses_and_correct(LOGITS, tf.constant(labels), True)
    p = 1 / (1 + np.exp(-LOGITS))
    np.testing.assert_allclose(losses, -np.log(np.where(labels, p, 1 - p)), rtol=1e-5)
    assert hits.numpy().tolist() == [[True, True, False], [True, True, False]]
