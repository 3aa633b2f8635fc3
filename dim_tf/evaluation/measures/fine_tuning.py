"""The whole encoder trained on labels: from its own weights, and from random ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from dim_tf.data import image_ops
from dim_tf.evaluation.classifier_training import fit_classifier, mlp_hidden_layers
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.measure import MetricInfo, Result, accuracy
from dim_tf.evaluation.measure_spec import (
    MeasureContext,
    MeasureSpec,
    TrainableEncoders,
    needs_classes,
    needs_trainable_encoder,
)
from dim_tf.evaluation.measures.few_labels import stratified_indices
from dim_tf.evaluation.representation import BATCH_SIZE, ENDPOINTS
from dim_tf.export.pooling import describe_pooling, pool_to_limit
from dim_tf.registry import MAX_FEATURES
from dim_tf.system.errors import RunError
from keras_models.nn import layers


@dataclass(frozen=True)
class FineTuning:
    """Semi-supervised learning and full supervision (Hjelm et al. 2019, section 4.1, Table 2).

    A hidden layer of 200 units and a classifier are put on the endpoint conv. All weights are
    trained by the probes' recipe, on the labelled fraction of the training images. The fully
    supervised network is the same, from random weights.

    Attributes:
        encoders: The trained and the random encoder; copies of them are trained.
        data: The images, whose labels are classes.
        epochs: Epochs over all training images; they determine the number of steps for every
            fraction.
        label_fraction: Labelled fraction of the training images, in (0, 1].
        learning_rate: Learning rate before the drop.
        seed: Seed of the head, the order of the images, and which of them have a label.
        max_features: Numbers of conv that the head sees; a larger conv is averaged over its
            locations.
    """

    encoders: TrainableEncoders
    data: EvaluationData
    epochs: int
    label_fraction: float = 1.0
    learning_rate: float = 1e-4
    seed: int = 0
    max_features: int = MAX_FEATURES

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        percent = 100 * self.label_fraction
        some = "" if self.label_fraction == 1 else f", {percent:g} % of labels"
        return {
            "fine_tuned": MetricInfo("fraction", "higher", f"fine-tuned encoder{some}"),
            "fully_supervised": MetricInfo(
                "fraction", None, f"same network from random weights{some}"
            ),
        }

    @property
    def protocol(self) -> dict[str, str]:
        count = len(self._labelled_indices())
        shape = self.encoders.trained.endpoint_shapes()[self._endpoint][1:]
        pooling = describe_pooling(shape, self.max_features, self._endpoint)
        protocol = (
            f"the encoder with a hidden layer of 200 units on {self._endpoint}"
            + (f" ({pooling})" if pooling else "")
            + ", all weights "
            f"trained on {count:,} labelled images, without augmentation: Adam "
            f"{self.learning_rate:g}, batch 64, {self.epochs} epochs' steps of all images, "
            "learning rate x0.1 after two thirds; test images, last epoch; 1 seed"
        )
        return {"fine_tuned": protocol, "fully_supervised": "the same from random weights"}

    def run(self) -> Iterator[Result]:
        train, test = self.data.train, self.data.test
        # Repeated to the length of an epoch over all images.
        indices = np.resize(self._labelled_indices(), len(train))
        encoders = {"fine_tuned": self.encoders.trained, "fully_supervised": self.encoders.random}
        for name, encoder in encoders.items():
            keras.utils.set_random_seed(self.seed)
            classifier = EncoderClassifier(
                clone_encoder(encoder),
                self._endpoint,
                len(self.data.label_names),
                self.max_features,
            )
            images, labels = train.images[indices], train.labels[indices]
            fit_classifier(classifier, images, labels, self.epochs, self.learning_rate)
            logits = classifier.predict(test.images, batch_size=BATCH_SIZE, verbose=0)
            if not np.isfinite(logits).all():
                raise RunError(f"{name}: training diverged; give a lower --learning_rate")
            correct = logits.argmax(1) == test.labels
            yield accuracy(name, self._endpoint, [correct], test.groups)

    @property
    def _endpoint(self):
        names = self.encoders.trained.endpoint_names
        return next(name for name in ENDPOINTS if name in names)

    def _labelled_indices(self):
        return stratified_indices(self.data.train.labels, 100 * self.label_fraction, self.seed)


def _build(context: MeasureContext) -> FineTuning:
    settings = context.experiment.evaluation
    assert context.encoders is not None  # needs_trainable_encoder
    return FineTuning(
        context.encoders,
        context.representation.data,
        settings.fine_tuning_epochs,
        settings.fine_tuning_fraction,
        context.experiment.training.learning_rate,
        context.experiment.training.seed,
        settings.max_features,
    )


SPEC = MeasureSpec(_build, requires=(needs_classes, needs_trainable_encoder))


class EncoderClassifier(keras.Model):
    """An encoder with a small head on one endpoint: uint8 images [N, H, W, C] -> logits.

    Args:
        encoder: Built; it is trained together with the head.
        endpoint: The input of the head.
        num_classes: Number of logits per image.
        max_features: Numbers of the endpoint that the head sees.
    """

    def __init__(self, encoder: keras.Model, endpoint: str, num_classes: int, max_features: int):
        super().__init__()
        self.encoder = encoder
        self.endpoint = endpoint
        self.max_features = max_features
        encoder.freeze_above(endpoint)  # no gradient reaches it
        self.head = keras.Sequential(
            [keras.layers.Flatten(), *mlp_hidden_layers(), layers.Dense(num_classes)]
        )

    def call(self, images, training=False):
        x = image_ops.encoder_input(image_ops.to_unit(images), self.encoder.image_shape[-1])
        features = self.encoder(x, training=training)[self.endpoint]
        pooled = pool_to_limit(features, self.max_features, self.endpoint)
        return self.head(pooled, training=training)


def clone_encoder(encoder: keras.Model) -> keras.Model:
    """A new encoder with the same weights."""
    copy = type(encoder).from_config(encoder.get_config())
    copy.build()
    copy.set_weights(encoder.get_weights())
    return copy
