"""Linear and MLP probes: classifiers trained on frozen features (Hjelm et al. 2019, section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import keras
import numpy as np
from sklearn import metrics

from dim_tf.evaluation import attributes
from dim_tf.evaluation.measure import Kind, Result, Uncertainty, of_hits, spread
from dim_tf.evaluation.pictures import ConfusionMatrix
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError
from keras_models.nn import layers
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
    _confusions: list[ConfusionMatrix] = field(default_factory=list, init=False, compare=False)

    @property
    def name(self) -> str:
        return "mlp_probe" if self.hidden else "linear_probe"

    @property
    def title(self) -> str:
        return "MLP probe" if self.hidden else "linear probe"

    @property
    def kinds(self) -> dict[str, Kind]:
        if self.representation.splits.has_classes:
            return {self.name: Kind("share", "higher", self.title)}
        return {
            f"{self.name}_{name}": replace(kind, title=f"{self.title}: {kind.title}")
            for name, kind in attributes.KINDS.items()
        }

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
        self._confusions.clear()
        splits = self.representation.splits
        for endpoint, features in self.representation.train.items():
            predictions = [
                self.predict(
                    features, splits.train.labels, self.representation.test[endpoint], seed
                )
                for seed in range(self.seeds)
            ]
            if not splits.has_classes:
                yield from self._attribute_results(endpoint, predictions)
                continue
            answers = [p.argmax(1) for p in predictions]
            yield Result(self.name, endpoint, *of_hits([a == splits.test.labels for a in answers]))
            if endpoint == "global":
                self._confusions.append(self._confusion(answers[0]))

    def pictures(self) -> list[ConfusionMatrix]:
        """The first seed's confusion matrix on the global feature."""
        return list(self._confusions)

    def _confusion(self, answers):
        splits = self.representation.splits
        counts = metrics.confusion_matrix(
            splits.test.labels, answers, labels=range(len(splits.label_names))
        )
        return ConfusionMatrix(f"{self.title} on the global feature", counts, splits.label_names)

    def _attribute_results(self, endpoint, predictions):
        splits = self.representation.splits
        tables = [
            attributes.measure(p, splits.test.labels, splits.label_names) for p in predictions
        ]
        means = [attributes.means(table) for table in tables]
        intervals = attributes.intervals(predictions, splits.test.labels)
        for name in attributes.KINDS:
            values = [mean[name] for mean in means]
            uncertainty = Uncertainty(spread(values), len(values), intervals.get(name))
            value = float(np.mean(values))
            yield Result(f"{self.name}_{name}", endpoint, value, uncertainty, tables[0])

    def predict(
        self, features: np.ndarray, labels: np.ndarray, test_features: np.ndarray, seed: int
    ) -> np.ndarray:
        """Trains one probe.

        Args:
            features: float32 [N, F], that it is trained on.
            labels: of the data set, one row for each.
            test_features: float32 [M, F].
            seed: of its weights, the order of the features and dropout.

        Returns:
            Its probabilities of the test features: float32 [M, classes].

        Raises:
            RunError: it diverged.
        """
        keras.utils.set_random_seed(seed)
        splits = self.representation.splits
        model = keras.Sequential()
        if self.hidden:
            for layer in hidden_layers():
                model.add(layer)
        else:
            mean, variance = moments(features)
            standardise = keras.layers.Normalization(mean=mean, variance=variance)
            standardise.build(features.shape)  # here: `fit` would build it inside a graph
            model.add(standardise)
        model.add(layers.Dense(len(splits.label_names)))
        train(model, features, labels, self.epochs, self.learning_rate)
        # Not model.predict, which traces anew for each probe, and TensorFlow warns of that.
        rows = (test_features[first : first + 1024] for first in range(0, len(test_features), 1024))
        logits = np.concatenate([model(x, training=False) for x in rows])
        if not np.isfinite(logits).all():
            raise RunError(f"the {self.name} diverged; give a lower --probe_learning_rate")
        activation = keras.ops.softmax if splits.has_classes else keras.ops.sigmoid
        return keras.ops.convert_to_numpy(activation(logits))


def train(
    model: keras.Model, inputs: np.ndarray, labels: np.ndarray, epochs: int, learning_rate: float
) -> None:
    """Trains a classifier by the authors' recipe, see `Probe`.

    Args:
        model: gives logits [N, classes].
        inputs: what it takes, [N, ...].
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        epochs: of training.
        learning_rate: before the drop.
    """
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if labels.ndim == 2
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.compile(adam(learning_rate, "adam"), loss, jit_compile=False, steps_per_execution=16)
    drop_from = epochs * 2 // 3

    def rate(epoch):
        return learning_rate * (0.1 if epoch >= max(drop_from, 1) else 1.0)

    model.fit(
        inputs,
        labels,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(rate)],
        verbose=0,
    )


def hidden_layers() -> list[keras.layers.Layer]:
    """The MLP's hidden layer (Hjelm et al. 2019, section 4.1): new ones at each call."""
    return [
        layers.Dense(MLP_UNITS),
        layers.batch_norm(synchronized=False, name="norm"),
        keras.layers.ReLU(),
        keras.layers.Dropout(DROPOUT),
    ]


def standardised(features: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Features [N, F] less their mean and over their standard deviation, both [F]."""
    return (features - mean) / np.sqrt(variance)


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
