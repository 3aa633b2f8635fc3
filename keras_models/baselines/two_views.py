"""What the models share that hold two augmentations of an image against each other."""

import abc
from collections.abc import Sequence

import tensorflow as tf

from keras_models import views
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.encoders.stages import DenseStage
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses


class TwoViews(EncoderModel):
    """Two augmentations of each image are encoded and projected; a loss compares the projections.

    A view is a random flip, then an augmentation, by default of `views.Augmentation`'s ranges. The
    projector stands on the global feature: dense layers with batch norm and ReLU, and a linear one.

    Args:
        encoder: images -> endpoints.
        hidden_units: of each hidden layer of the projector.
        projected_units: P, of its output.
        augmentation: makes a view; None: with the default ranges.
        seed: of the random numbers drawn in training.
    """

    def __init__(
        self,
        encoder,
        hidden_units: Sequence[int],
        projected_units: int,
        augmentation: views.Augmentation | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.augmentation = augmentation or views.Augmentation()
        self.hidden_units = tuple(hidden_units)
        self.projected_units = projected_units
        self.hidden = [
            DenseStage(units, synchronized=encoder.synchronized, name=f"hidden{i}")
            for i, units in enumerate(self.hidden_units)
        ]
        self.projection = layers.Dense(projected_units, use_bias=False, name="projection")

    def build_heads(self, shapes):
        shape = shapes["global"]
        for layer in self.hidden:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.projection.build(shape)

    def projected(self, features, training: bool = True) -> tf.Tensor:
        """Global features -> float32 [N, P], in training by the batch's statistics."""
        x = features
        for layer in self.hidden:
            x = layer(x, training=training)
        return tf.cast(self.projection(x), tf.float32)

    @abc.abstractmethod
    def compare(
        self, first: tf.Tensor, second: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The loss, and metrics, of this replica's projections of both views, [N, P] each."""

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        features = []
        for name in ("first view", "second view"):
            of_view = random.another(name)
            images = self.augmentation(views.flip(batch.images, of_view), of_view, name)
            features.append(self.encoder(images, training=training, random=of_view)["global"])
        loss, metrics = self.compare(*(self.projected(x, training) for x in features))
        return Losses(loss, None, metrics, features[0])

    def config(self):
        return {
            "hidden_units": self.hidden_units,
            "projected_units": self.projected_units,
            "augmentation": self.augmentation,
        }
