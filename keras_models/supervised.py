"""Full supervision: the encoder and a small classifier, trained on labels."""

import keras
import tensorflow as tf

from keras_models import classification
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.encoders.blocks import DenseBlock, DenseHead
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses

HIDDEN_UNITS = 200
DROPOUT = 0.1


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Supervised(EncoderModel):
    """The fully supervised reference (Hjelm et al. 2019, section 4.1).

    The classifier has a hidden layer of 200 units: dense -> dropout 0.1 -> batch norm -> ReLU, like
    the encoders' dense layers (in the MLP probe the dropout follows the ReLU). Its input is the
    global feature, so the whole encoder is trained. The loss is the cross-entropy of the classes,
    or for attributes its mean over them.

    Args:
        encoder: Images -> endpoints.
        labels: Number of classes or attributes.
        multi_label: Whether the labels are attributes, of which an image can have several.
        seed: Seed of the random numbers drawn in training.
    """

    needs_labels = True

    def __init__(self, encoder, labels: int, multi_label: bool = False, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        self.labels = labels
        self.multi_label = multi_label
        self.hidden = DenseBlock(
            HIDDEN_UNITS, DROPOUT, synchronized=encoder.synchronized, name="hidden"
        )
        self.classifier = DenseHead(labels, name="classifier")

    def build_heads(self, shapes):
        self.hidden.build(shapes["global"])
        self.classifier.build(self.hidden.compute_output_shape(shapes["global"]))

    def logits(self, features, training=False, random=None):
        """The global feature -> float32 [N, labels]."""
        x = self.hidden(features, training=training, random=random)
        return tf.cast(self.classifier(x), tf.float32)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        features = self.encoder(batch.images, training=training, random=random)["global"]
        logits = self.logits(features, training, random)
        losses, correct = classification.losses_and_correct(logits, batch.labels, self.multi_label)
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
        return Losses(tf.reduce_mean(losses), None, {"accuracy": accuracy}, features)

    def config(self):
        return {"labels": self.labels, "multi_label": self.multi_label}
