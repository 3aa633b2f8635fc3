"""The whole encoder trained on labels: from its weights, and from random ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from dim_tf.data import image_ops
from dim_tf.errors import RunError
from dim_tf.evaluation.excerpt import Excerpt
from dim_tf.evaluation.few_labels import labelled
from dim_tf.evaluation.measure import Kind, Result, of_hits
from dim_tf.evaluation.pooling import description, pooled
from dim_tf.evaluation.probes import hidden_layers, train
from dim_tf.evaluation.representation import BATCH, ENDPOINTS
from dim_tf.registry import MAX_FEATURES
from keras_models.nn import layers


@dataclass(frozen=True)
class FineTuning:
    """Semi-supervised learning and its reference (Hjelm et al. 2019, section 4.1 and Table 2).

    A hidden layer of 200 units and a classifier stand on the endpoint conv; all weights are trained
    by the probes' recipe, on the labelled share of the training images. The fully supervised
    network is the same one from random weights.

    Attributes:
        encoder: the trained one; a copy is trained on.
        random_encoder: of the same architecture, with random weights.
        splits: the data, whose labels are classes.
        epochs: of all training images, whose number of steps is taken for every share.
        share: of the training images that have a label, in (0, 1].
        learning_rate: before the drop.
        seed: of the head, the order of the images, and which of them have a label.
        max_features: numbers of conv that the head sees; of more, conv is averaged over its
            locations.
    """

    encoder: keras.Model
    random_encoder: keras.Model
    splits: Excerpt
    epochs: int
    share: float = 1.0
    learning_rate: float = 1e-4
    seed: int = 0
    max_features: int = MAX_FEATURES

    @property
    def kinds(self) -> dict[str, Kind]:
        some = "" if self.share == 1 else f", {100 * self.share:g} % of labels"
        return {
            "fine_tuned": Kind("share", "higher", f"fine-tuned encoder{some}"),
            "fully_supervised": Kind("share", None, f"same network from random weights{some}"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        count = len(labelled(self.splits.train.labels, 100 * self.share, self.seed))
        shape = self.encoder.endpoint_shapes()[self._endpoint][1:]
        pooling = description(shape, self.max_features, self._endpoint)
        how = (
            f"the encoder with a hidden layer of 200 units on {self._endpoint}"
            + (f" ({pooling})" if pooling else "")
            + ", all weights "
            f"trained on {count:,} labelled images, without augmentation: Adam "
            f"{self.learning_rate:g}, batch 64, {self.epochs} epochs' steps of all images, "
            "learning rate x0.1 after two thirds; test images, last epoch; 1 seed"
        )
        return {"fine_tuned": how, "fully_supervised": "the same from random weights"}

    @property
    def _endpoint(self):
        return next(name for name in ENDPOINTS if name in self.encoder.endpoint_names)

    def run(self) -> Iterator[Result]:
        labels = self.splits.train.labels
        rows = np.resize(labelled(labels, 100 * self.share, self.seed), len(labels))
        starts = {"fine_tuned": self.encoder, "fully_supervised": self.random_encoder}
        for name, start in starts.items():
            keras.utils.set_random_seed(self.seed)
            classes = len(self.splits.label_names)
            model = Classifier(copy_of(start), self._endpoint, classes, self.max_features)
            train(
                model, self.splits.train.images[rows], labels[rows], self.epochs, self.learning_rate
            )
            logits = model.predict(self.splits.test.images, batch_size=BATCH, verbose=0)
            if not np.isfinite(logits).all():
                raise RunError(f"{name}: training diverged; give a lower --learning_rate")
            hits = logits.argmax(1) == self.splits.test.labels
            yield Result(name, self._endpoint, *of_hits([hits]))


class Classifier(keras.Model):
    """An encoder's endpoint with the small head on it: uint8 images [N, H, W, C] -> logits.

    Args:
        encoder: built; it is trained too.
        endpoint: of it.
        classes: C.
        max_features: numbers of the endpoint that the head sees.
    """

    def __init__(self, encoder: keras.Model, endpoint: str, classes: int, max_features: int):
        super().__init__()
        self.encoder = encoder
        self.endpoint = endpoint
        self.max_features = max_features
        encoder.freeze_above(endpoint)  # no gradient reaches it
        self.head = keras.Sequential(
            [keras.layers.Flatten(), *hidden_layers(), layers.Dense(classes)]
        )

    def call(self, images, training=False):
        x = image_ops.encoder_input(image_ops.to_unit(images), self.encoder.image_shape[-1])
        features = self.encoder(x, training=training)[self.endpoint]
        return self.head(pooled(features, self.max_features, self.endpoint), training=training)


def copy_of(encoder: keras.Model) -> keras.Model:
    """Another encoder with the same weights."""
    copy = type(encoder).from_config(encoder.get_config())
    copy.build()
    copy.set_weights(encoder.get_weights())
    return copy
