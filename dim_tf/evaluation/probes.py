"""Linear and MLP probes: classifiers trained on frozen features (Hjelm et al. 2019, section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from dim_tf.errors import RunError
from dim_tf.evaluation import attributes
from dim_tf.evaluation.measure import Result, Uncertainty, of_accuracies
from dim_tf.evaluation.representation import Representation
from keras_models import layers
from keras_models.optimizers import adam

MLP_UNITS = 200
DROPOUT = 0.1
BATCH = 64
MOMENT_ROWS = 1024
CONSTANT = 1e-6  # standard deviation over mean: float32's rounding


@dataclass(frozen=True)
class Probe:
    """A classifier on each endpoint of a representation, by the authors' recipe.

    Adam with betas (0.5, 0.999), batches of 64, the learning rate (the authors' is 1e-4) times 0.1
    after two thirds of the epochs; measured on the test images after the last epoch, never the
    best one. The linear one takes each feature less its mean and over its standard deviation on
    the training images: in so many steps it would otherwise tell the features' scale, which says
    nothing of what they know (the MLP's batch norm does the same for it).

    Attributes:
        representation: what it is trained on.
        hidden: whether there is a hidden layer of 200 units (batch norm, ReLU, dropout 0.1).
        epochs: of training.
        seeds: trainings to average; seeds count from 0.
        learning_rate: before the drop.
    """

    representation: Representation
    hidden: bool
    epochs: int
    seeds: int
    learning_rate: float = 1e-4

    @property
    def name(self) -> str:
        return "mlp_probe" if self.hidden else "linear_probe"

    @property
    def protocol(self) -> dict[str, str]:
        kind = (
            f"one hidden layer of {MLP_UNITS} units, batch norm, ReLU, dropout {DROPOUT}"
            if self.hidden
            else "a linear classifier of standardised features"
        )
        return {
            self.name: (
                f"{kind}, trained on the frozen features of all training images: Adam "
                f"{self.learning_rate:g}, betas (0.5, 0.999), batch {BATCH}, {self.epochs} epochs, "
                "learning rate x0.1 after two thirds; test images, last epoch; mean of "
                + ("1 seed" if self.seeds == 1 else f"{self.seeds} seeds")
            )
        }

    def run(self) -> Iterator[Result]:
        splits = self.representation.splits
        for endpoint, features in self.representation.train.items():
            predictions = [
                self._predict(features, self.representation.test[endpoint], seed)
                for seed in range(self.seeds)
            ]
            if splits.multi_label:
                yield from self._attribute_results(endpoint, predictions)
            else:
                labels = splits.test.labels
                accuracies = [float(np.mean(p.argmax(1) == labels)) for p in predictions]
                value, uncertainty = of_accuracies(accuracies, len(labels))
                yield Result(self.name, endpoint, value, uncertainty)

    def _attribute_results(self, endpoint, predictions):
        splits = self.representation.splits
        tables = [
            attributes.measure(p, splits.test.labels, splits.label_names) for p in predictions
        ]
        means = [attributes.means(table) for table in tables]
        for name in attributes.MEASURES:
            values = [mean[name] for mean in means]
            std = float(np.std(values, ddof=1)) if len(values) > 1 else None
            yield Result(
                f"{self.name}_{name}",
                endpoint,
                float(np.mean(values)),
                Uncertainty(std, len(values), None),
                tables[0],
            )

    def _predict(self, features, test_features, seed):
        """Trains one probe; its probabilities [N, classes] of the test images."""
        keras.utils.set_random_seed(seed)
        splits = self.representation.splits
        model = keras.Sequential()
        if self.hidden:
            model.add(layers.Dense(MLP_UNITS))
            model.add(layers.batch_norm(synchronized=False, name="norm"))
            model.add(keras.layers.ReLU())
            model.add(keras.layers.Dropout(DROPOUT))
        else:
            mean, variance = moments(features)
            standardise = keras.layers.Normalization(mean=mean, variance=variance)
            standardise.build(features.shape)  # here: `fit` would build it inside a graph
            model.add(standardise)
        model.add(layers.Dense(len(splits.label_names)))
        loss = (
            keras.losses.BinaryCrossentropy(from_logits=True)
            if splits.multi_label
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.compile(
            adam(self.learning_rate, self.name), loss, jit_compile=False, steps_per_execution=16
        )
        drop_from = self.epochs * 2 // 3

        def rate(epoch):
            return self.learning_rate * (0.1 if epoch >= max(drop_from, 1) else 1.0)

        model.fit(
            features,
            splits.train.labels,
            batch_size=BATCH,
            epochs=self.epochs,
            callbacks=[keras.callbacks.LearningRateScheduler(rate)],
            verbose=0,
        )
        logits = model.predict(test_features, batch_size=1024, verbose=0)
        if not np.isfinite(logits).all():
            raise RunError(f"the {self.name} diverged; give a lower --probe_learning_rate")
        activation = keras.ops.sigmoid if splits.multi_label else keras.ops.softmax
        return keras.ops.convert_to_numpy(activation(logits))


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each feature, without a second copy of them all.

    Args:
        features: float32 [N, F].

    Returns:
        Both float32 [F]. The variance of a feature that is constant up to rounding is infinite, so
        that standardised it is 0, on images that differ from the training images too.
    """
    mean: np.ndarray = np.asarray(np.mean(features, axis=0, dtype=np.float64))
    square = np.zeros_like(mean)
    for first in range(0, len(features), MOMENT_ROWS):
        square += np.sum((features[first : first + MOMENT_ROWS] - mean) ** 2, axis=0)
    variance = square / len(features)
    variance[variance <= (CONSTANT * mean) ** 2] = np.inf
    return mean.astype(np.float32), variance.astype(np.float32)
