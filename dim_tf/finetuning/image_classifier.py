"""An encoder with a linear head, trained on labels by the training step of all models."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.splits import Images
from dim_tf.evaluation.representation import BATCH_PIXELS, BATCH_SIZE
from dim_tf.export.feature import Feature
from dim_tf.export.linear_head import LinearHead
from dim_tf.registry import MAX_FEATURES
from keras_models import classification
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable("dim_tf")
class ImageClassifier(EncoderModel):
    """A linear head on one feature of an encoder, which is trained with the head.

    The loss is the cross-entropy of the classes, or its mean over the attributes.

    Args:
        encoder: Images -> endpoints. Layers on which the feature does not depend become
            untrainable.
        num_labels: Number of classes or attributes.
        multi_label: Whether the labels are attributes, of which an image can have several.
        feature: Name of the feature.
        max_features: As for `Feature`.
        class_weights: Factors of the losses, [C] for classes or [2, A] for absent and present
            attributes; None: 1.
        seed: Seed of the random numbers drawn in training.

    Input:
        float32 [N, H, W, C] in [-1, 1].

    Output:
        Logits, float32 [N, num_labels].
    """

    needs_labels = True

    def __init__(
        self,
        encoder,
        num_labels: int,
        multi_label: bool = False,
        feature: str = "global",
        max_features: int = MAX_FEATURES,
        class_weights: Sequence | np.ndarray | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.num_labels = num_labels
        self.multi_label = multi_label
        self.feature = Feature(feature, max_features)
        self.feature.freeze_unused(encoder)
        self.class_weights = None
        if class_weights is not None:
            self.class_weights = np.asarray(class_weights, np.float32)
        self.head = keras.layers.Dense(num_labels, dtype="float32", name="head")

    def build_heads(self, shapes):
        self.head.build((None, self.feature.dimension(self.encoder)))

    def call(self, images, training=False, random=None):
        endpoints = self.encoder(images, training=training, random=random)
        return self.head(self.feature(endpoints))

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        logits = self.call(batch.images, training, random)
        losses, correct = classification.losses_and_correct(logits, batch.labels, self.multi_label)
        if self.class_weights is not None:
            losses *= self._factors(self.class_weights, batch.labels)
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
        return Losses(tf.reduce_mean(losses), None, {"accuracy": accuracy})

    def _factors(self, weights, labels):
        """The weight of each label."""
        if self.multi_label:
            absent, present = weights
            return tf.where(labels > 0, present, absent)
        return tf.gather(weights, labels)

    def rate_groups(self) -> tuple[list, list]:
        """The trainable variables of the encoder's early and of its late layers.

        The variables of an encoder are in the order of its layers; half of them are early.
        """
        variables = self.encoder.trainable_variables
        half = (len(variables) + 1) // 2
        return variables[:half], variables[half:]

    def set_head(self, head: LinearHead) -> None:
        """Replaces the weights of the head."""
        self.head.set_weights([head.kernel, head.bias])

    def linear_head(self, label_names: tuple[str, ...]) -> LinearHead:
        """The head's weights."""
        kernel, bias = self.head.get_weights()
        return LinearHead(kernel, bias, label_names, self.multi_label)

    def logits_of(self, images: Images) -> np.ndarray:
        """The logits of a data set's images, float32 [N, num_labels].

        Args:
            images: [N, H, W, C], uint8, or float32 in [0, 1].
        """
        height, width, channels = self.image_shape
        size = max(min(BATCH_SIZE, BATCH_PIXELS // (height * width)), 1)
        batches = [
            self.predict_on_batch(
                image_ops.encoder_input(
                    image_ops.to_unit(tf.constant(images[first : first + size])), channels
                )
            )
            for first in range(0, len(images), size)
        ]
        return np.concatenate(batches)

    def config(self):
        weights = self.class_weights
        return {
            "num_labels": self.num_labels,
            "multi_label": self.multi_label,
            "feature": self.feature.name,
            "max_features": self.feature.max_features,
            "class_weights": None if weights is None else tuple(weights.tolist()),
        }
