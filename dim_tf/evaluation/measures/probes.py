"""Linear and MLP probes: classifiers trained on frozen features (Hjelm et al. 2019, section 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import confusion_matrix

from dim_tf.evaluation import attribute_metrics, probe_training
from dim_tf.evaluation.figures import ConfusionMatrix
from dim_tf.evaluation.measure import (
    MetricInfo,
    Result,
    Uncertainty,
    mean_accuracy,
    sample_std,
)
from dim_tf.evaluation.measure_spec import MeasureContext, MeasureSpec, needs_labels
from dim_tf.evaluation.probe_training import DROPOUT, MLP_UNITS, Recipe
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError


@dataclass(frozen=True)
class Probe:
    """A classifier on each endpoint of a representation, by the authors' recipe.

    It is measured on the test images after the last epoch, never the best one. The linear probe
    standardises each feature by the training images: otherwise its accuracy after so few steps
    would depend on the scale of the features, which is not what a probe is to measure. The MLP has
    batch norm for that.

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
    def recipe(self) -> Recipe:
        """How it is trained."""
        return Recipe(self.epochs, self.learning_rate)

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
                f"{self.learning_rate:g}, betas (0.5, 0.999), batch {self.recipe.batch_size}, "
                f"{self.epochs} epochs, learning rate x0.1 after two thirds; test images, "
                "last epoch; mean of " + ("1 seed" if self.seeds == 1 else f"{self.seeds} seeds")
            )
        }

    def run(self) -> Iterator[Result]:
        self._confusion_matrices.clear()
        data = self.representation.data
        for endpoint, features in self.representation.train.items():
            probabilities = self.predict(
                features, data.train.labels, self.representation.test[endpoint]
            )
            if not data.has_classes:
                yield from self._attribute_results(endpoint, probabilities)
                continue
            predictions = probabilities.argmax(axis=2)
            yield Result(self.name, endpoint, *mean_accuracy(predictions == data.test.labels))
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
        self,
        features: np.ndarray,
        labels: np.ndarray,
        test_features: np.ndarray,
        indices: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Trains the probes of all seeds.

        Args:
            features: float32 [N, F], what they are trained on.
            labels: int [N], classes; or int [N, A], attributes 0 or 1.
            test_features: float32 [M, F].
            indices: for each seed the images of an epoch, int [K], the same number for all; None:
                all images.

        Returns:
            The predicted probabilities of the test features: float32 [seeds, M, classes].

        Raises:
            RunError: the training diverged.
        """
        data = self.representation.data
        logits = probe_training.train(
            features,
            labels,
            test_features,
            len(data.label_names),
            self.hidden,
            self.recipe,
            indices or [np.arange(len(features))] * self.seeds,
        )
        if not np.isfinite(logits).all():
            raise RunError(f"the {self.name} diverged; give a lower --probe_learning_rate")
        return softmax(logits, axis=2) if data.has_classes else expit(logits)


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
