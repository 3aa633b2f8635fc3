"""Exemplars: every training image is its own class."""

import keras
import tensorflow as tf

from keras_models import classification
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import one_global
from keras_models.encoders.blocks import DenseHead
from keras_models.nn import layers
from keras_models.objective_model import Batch
from keras_models.pretext.tasks import Task, TaskOutput
from keras_models.views import Augmentation, Views, random_rotation


@keras.saving.register_keras_serializable(layers.PACKAGE)
class Exemplar(Task):
    """Predicts which training image a changed image was made from (Dosovitskiy et al. 2014, eq. 1).

    https://arxiv.org/abs/1406.6909

    Each training image is a surrogate class; the loss is the cross-entropy of a linear classifier
    of the changed image's global feature. A change is a rotation followed by the augmentation: a
    resized crop (their translation and scaling) and colour jitter (their contrast and colour).

    Args:
        images: Number of training images, the number of classes.
        augmentation: The augmentation that follows the rotation.
        rotation: Largest rotation to either side, in degrees; the paper's 20.
        weight: Factor of the loss in the objective.

    Raises:
        ValueError: `rotation` is negative; when built, the encoder has several globals.
    """

    needs_indices = True
    evaluates = False  # a class is a training image

    def __init__(
        self,
        images: int,
        augmentation: Augmentation,
        rotation: float = 20.0,
        weight: float = 1.0,
        name: str = "exemplar",
        **kwargs,
    ):
        super().__init__(weight, name=name, **kwargs)
        if rotation < 0:
            raise ValueError(f"rotation={rotation} degrees; expected at least 0")
        self.images = images
        self.augmentation = augmentation
        self.rotation = rotation
        self.views = Views(augmentation, shared_flip=False)
        self.classifier = DenseHead(images, name="classifier")

    def build(self, shapes):
        self.classifier.build(one_global(shapes))
        self.built = True

    def changed(self, images: tf.Tensor, random: StepRandom) -> tf.Tensor:
        """A changed copy of each image, float32 [N, H, W, C]."""
        if self.rotation:
            images = random_rotation(images, random, "exemplar", self.rotation)
        return self.views(images, random)[0]

    def output(self, encoder, batch: Batch, random: StepRandom, training: bool = True):
        changed = self.changed(batch.images, random)
        features = encoder(changed, training=training, random=random)["global"]
        logits = tf.cast(self.classifier(features), tf.float32)
        losses, correct = classification.losses_and_correct(logits, batch.indices, False)
        accuracy = tf.reduce_mean(tf.cast(correct, tf.float32))
        return TaskOutput(tf.reduce_mean(losses), {"accuracy": accuracy}, features)

    def get_config(self):
        return {
            **super().get_config(),
            "images": self.images,
            "augmentation": keras.saving.serialize_keras_object(self.augmentation),
            "rotation": self.rotation,
        }

    @classmethod
    def from_config(cls, config):
        augmentation = keras.saving.deserialize_keras_object(config["augmentation"])
        return cls(**{**config, "augmentation": augmentation})
