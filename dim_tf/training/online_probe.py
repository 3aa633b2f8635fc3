"""A linear probe trained beside the encoder, whose accuracy shows the encoder's progress."""

import keras
import tensorflow as tf

from dim_tf.data.splits import Split, Splits
from keras_models import classification
from keras_models.distribute import replicas
from keras_models.nn import layers
from keras_models.optimizers import adam

LEARNING_RATE = 1e-3


class OnlineProbe:
    """A linear classifier of the batch's global feature, standardised by batch norm.

    It does not influence the encoder: it passes no gradient, its weights are not the model's, and
    it draws no random numbers, because its initial weights are 0. Create it in the strategy's
    scope.

    Args:
        features: Size of a global feature.
        labels: Number of classes, or of attributes.
        multi_label: Whether the labels are attributes.
        synchronized: Whether batch norm takes its statistics over all replicas.
    """

    def __init__(self, features: int, labels: int, multi_label: bool, synchronized: bool):
        self._multi_label = multi_label
        self._norm = keras.layers.BatchNormalization(
            epsilon=layers.NORM_EPSILON,
            synchronized=synchronized,
            dtype="float32",
            name="online_probe_norm",
        )
        self._linear = keras.layers.Dense(
            labels, kernel_initializer="zeros", dtype="float32", name="online_probe_linear"
        )
        self._norm.build((None, features))
        self._linear.build((None, features))
        self._optimizer = adam(LEARNING_RATE, "online_probe_adam")
        self._optimizer.build(self.trainable_variables)

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        return self._norm.trainable_variables + self._linear.trainable_variables

    @property
    def variables(self) -> list[keras.Variable]:
        """Weights, moving statistics and the optimizer's state."""
        return self._norm.variables + self._linear.variables + self._optimizer.variables

    def __call__(self, features: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes one step.

        Args:
            features: float [N, D], or [N, g, g, D] for several globals, which are averaged.
            labels: int [N], or [N, A] for attributes.

        Returns:
            "online_probe": The accuracy on this batch before the step, a float32 scalar; for
            attributes the mean over them.
        """
        features = tf.stop_gradient(tf.cast(features, tf.float32))
        if len(features.shape) == 4:
            features = tf.reduce_mean(features, [1, 2])
        with tf.GradientTape() as tape:
            logits = self._linear(self._norm(features, training=True))
            losses, hits = classification.losses_and_correct(logits, labels, self._multi_label)
            loss = tf.reduce_mean(losses) / replicas.count()
        variables = self.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        return {"online_probe": tf.reduce_mean(tf.cast(hits, tf.float32))}


def for_encoder(
    encoder: keras.Model, splits: Splits, split: Split, synchronized: bool
) -> OnlineProbe | None:
    """A probe of the encoder's global feature; None if there are no labels to classify.

    Args:
        encoder: The encoder that is trained.
        splits: The data set.
        split: The images on which the encoder is trained.
        synchronized: As for `OnlineProbe`.
    """
    labels = len(splits.label_names)
    if split.labels is None or labels < (1 if splits.multi_label else 2):
        return None
    return OnlineProbe(encoder.global_dim, labels, splits.multi_label, synchronized)
