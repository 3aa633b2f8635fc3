"""Linear and MLP probes: classifiers trained on frozen features (Hjelm et al. 2019, section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import keras
import numpy as np
from sklearn.metrics import confusion_matrix

from dim_tf.evaluation import attribute_metrics
from dim_tf.evaluation.figures import ConfusionMatrix
from dim_tf.evaluation.measure import (
    MetricInfo,
    Result,
    Uncertainty,
    mean_accuracy,
    sample_std,
)
from dim_tf.evaluation.measure_spec import MeasureContext, MeasureSpec, needs_labels
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.standardisation import moments
from dim_tf.system.errors import RunError
from keras_models.nn import layers
from keras_models.optimizers import adam

MLP_UNITS = 200
DROPOUT = 0.1
BATCH_SIZE = 64
PREDICTION_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Probe:
    """A classifier on each endpoint of a representation, by the authors' recipe.

    Adam with betas (0.5, 0.999), batches of 64, the learning rate (the authors' is 1e-4) times 0.1
    after two thirds of the epochs; measured on the test images after the last epoch, never the
    best one. The linear probe standardises each feature by the training images: otherwise its
    accuracy after so few steps would depend on the scale of the features, which is not what a probe
    is to measure. The MLP has batch norm for that.

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
    _confusion_matrices: list[ConfusionMatrix] = field(
        default_factory=list, init=False, compare=False
    )

    @property
    def name(self) -> str:
        return "mlp_probe" if self.hidden else "linear_probe"

    @property
    def title(self) -> str:
        return "MLP probe" if self.hidden else "linear probe"

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        if self.representation.data.has_classes:
            return {self.name: MetricInfo("fraction", "higher", self.title)}
        return {
            f"{self.name}_{name}": replace(info, title=f"{self.title}: {info.title}")
            for name, info in attribute_metrics.METRICS.items()
        }

    @property
    def protocol(self) -> dict[str, str]:
        classifier = (
            f"one hidden layer of {MLP_UNITS} units, batch norm, ReLU, dropout {DROPOUT}"
            if self.hidden
            else "a linear classifier of standardised features"
        )
        return {
            self.name: (
                f"{classifier}, trained on the frozen features of all training images: Adam "
                f"{self.learning_rate:g}, betas (0.5, 0.999), batch {BATCH_SIZE}, "
                f"{self.epochs} epochs, learning rate x0.1 after two thirds; test images, "
                "last epoch; mean of " + ("1 seed" if self.seeds == 1 else f"{self.seeds} seeds")
            )
        }

    def run(self) -> Iterator[Result]:
        self._confusion_matrices.clear()
        data = self.representation.data
        for endpoint, features in self.representation.train.items():
            probabilities = [
                self.predict(features, data.train.labels, self.representation.test[endpoint], seed)
                for seed in range(self.seeds)
            ]
            if not data.has_classes:
                yield from self._attribute_results(endpoint, probabilities)
                continue
            predictions = [p.argmax(1) for p in probabilities]
            correct = [predicted == data.test.labels for predicted in predictions]
            yield Result(self.name, endpoint, *mean_accuracy(correct))
            if endpoint == "global":
                self._confusion_matrices.append(self._confusion_matrix(predictions[0]))

    def figures(self) -> list[ConfusionMatrix]:
        """The first seed's confusion matrix on the global feature."""
        return list(self._confusion_matrices)

    def _confusion_matrix(self, predicted):
        data = self.representation.data
        counts = confusion_matrix(data.test.labels, predicted, labels=range(len(data.label_names)))
        return ConfusionMatrix(f"{self.title} on the global feature", counts, data.label_names)

    def _attribute_results(self, endpoint, probabilities):
        data = self.representation.data
        tables = [
            attribute_metrics.by_attribute(p, data.test.labels, data.label_names)
            for p in probabilities
        ]
        means = [attribute_metrics.means(table) for table in tables]
        intervals = attribute_metrics.intervals(probabilities, data.test.labels)
        for name in attribute_metrics.METRICS:
            values = [mean[name] for mean in means]
            uncertainty = Uncertainty(sample_std(values), len(values), intervals.get(name))
            value = float(np.mean(values))
            yield Result(f"{self.name}_{name}", endpoint, value, uncertainty, tables[0])

    def predict(
        self, features: np.ndarray, labels: np.ndarray, test_features: np.ndarray, seed: int
    ) -> np.ndarray:
        """Trains one probe.

        Args:
            features: float32 [N, F], what it is trained on.
            labels: int [N], classes; or int [N, A], attributes 0 or 1.
            test_features: float32 [M, F].
            seed: of its weights, the order of the features and dropout.

        Returns:
            The predicted probabilities of the test features: float32 [M, classes].

        Raises:
            RunError: the training diverged.
        """
        keras.utils.set_random_seed(seed)
        data = self.representation.data
        model = keras.Sequential()
        if self.hidden:
            for layer in mlp_hidden_layers():
                model.add(layer)
        else:
            mean, variance = moments(features)
            standardise = keras.layers.Normalization(mean=mean, variance=variance)
            standardise.build(features.shape)  # here: `fit` would build it inside a graph
            model.add(standardise)
        model.add(layers.Dense(len(data.label_names)))
        fit_classifier(model, features, labels, self.epochs, self.learning_rate)
        # Not model.predict, which traces anew for each probe, and TensorFlow warns of that.
        logits = np.concatenate(
            [
                model(test_features[first : first + PREDICTION_BATCH_SIZE], training=False)
                for first in range(0, len(test_features), PREDICTION_BATCH_SIZE)
            ]
        )
        if not np.isfinite(logits).all():
            raise RunError(f"the {self.name} diverged; give a lower --probe_learning_rate")
        activation = keras.ops.softmax if data.has_classes else keras.ops.sigmoid
        return keras.ops.convert_to_numpy(activation(logits))


def _spec(hidden: bool) -> MeasureSpec:
    def build(context: MeasureContext) -> Probe:
        settings = context.experiment.evaluation
        return Probe(
            context.representation,
            hidden,
            settings.probe_epochs,
            context.seeds,
            settings.probe_learning_rate,
        )

    return MeasureSpec(build, requires=(needs_labels,))


LINEAR = _spec(hidden=False)
MLP = _spec(hidden=True)


def fit_classifier(
    model: keras.Model, inputs: np.ndarray, labels: np.ndarray, epochs: int, learning_rate: float
) -> None:
    """Trains a classifier by the authors' recipe, see `Probe`.

    Args:
        model: inputs -> logits [N, classes].
        inputs: [N, ...].
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
    first_dropped = max(epochs * 2 // 3, 1)

    def schedule(epoch):
        return learning_rate * (0.1 if epoch >= first_dropped else 1.0)

    model.fit(
        inputs,
        labels,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(schedule)],
        verbose=0,
    )


def mlp_hidden_layers() -> list[keras.layers.Layer]:
    """New layers: the MLP's hidden layer (Hjelm et al. 2019, section 4.1)."""
    return [
        layers.Dense(MLP_UNITS),
        layers.batch_norm(synchronized=False, name="norm"),
        keras.layers.ReLU(),
        keras.layers.Dropout(DROPOUT),
    ]
