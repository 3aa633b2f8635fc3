"""Trains any Keras classifier by the authors' recipe; `probe_training` is its fast twin."""

import keras
import numpy as np

from dim_tf.evaluation.probe_training import DROPOUT, MLP_UNITS, ProbeTraining
from dim_tf.evaluation.standardisation import moments
from keras_models.nn import layers
from keras_models.optimizers import adam


def fit_classifier(
    model: keras.Model, inputs: np.ndarray, labels: np.ndarray, epochs: int, learning_rate: float
) -> None:
    """Trains a classifier by the authors' recipe; see `probe_training.ProbeTraining`.

    Args:
        model: inputs -> logits [N, classes].
        inputs: [N, ...].
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        epochs: Epochs of training.
        learning_rate: Learning rate before the drop.
    """
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if labels.ndim == 2
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.compile(adam(learning_rate, "adam"), loss, jit_compile=False, steps_per_execution=16)
    training = ProbeTraining(epochs, learning_rate)

    def rate(epoch):
        return float(training.rates(epoch, steps=1)[0])

    model.fit(
        inputs,
        labels,
        batch_size=training.batch_size,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=0,
    )


def standardising_layer(features: np.ndarray) -> keras.layers.Normalization:
    """A built layer that standardises features like the linear probe.

    Args:
        features: float32 [N, F], those of the training images.
    """
    mean, variance = moments(features)
    layer = keras.layers.Normalization(mean=mean, variance=variance)
    layer.build(features.shape)  # here: `fit` would build it inside a graph
    return layer


def mlp_hidden_layers() -> list[keras.layers.Layer]:
    """New layers that form the MLP's hidden layer (Hjelm et al. 2019, section 4.1)."""
    return [
        layers.Dense(MLP_UNITS),
        layers.batch_norm(synchronized=False, name="norm"),
        keras.layers.ReLU(),
        keras.layers.Dropout(DROPOUT),
    ]
