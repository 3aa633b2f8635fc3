"""Linear and MLP probes: classifiers trained on frozen features (Hjelm et al. 2019, section 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit, softmax
from sklearn.metrics import confusion_matrix

from dim_tf.evaluation import (
    attribute_metrics,
    bootstrap,
    logistic_regression,
    probe_training,
)
from dim_tf.evaluation.figures import ConfusionMatrix
from dim_tf.evaluation.measure import (
    MetricInfo,
    PerImage,
    Result,
    Uncertainty,
    accuracy,
    sample_std,
)
from dim_tf.evaluation.measure_spec import MeasureContext, MeasureSpec, needs_labels
from dim_tf.evaluation.probe_training import DROPOUT, MLP_UNITS, ProbeTraining
from dim_tf.evaluation.representation import Representation
from dim_tf.experiment import Experiment, default_of
from dim_tf.system.errors import RunError

FAST_BATCH_SIZE = 256
FAST_LEARNING_RATE = 3e-3
FAST_EPOCHS = 5  # at least
FAST_STEPS = 300  # at least


@dataclass(frozen=True)
class Probe:
    """A classifier on each endpoint of a representation.

    By the authors' recipe it is measured on the test images after the last epoch, never after the
    best one. The linear probe standardises each feature by the training images; otherwise its
    accuracy after so few steps would depend on the scale of the features, which a probe should not
    measure. In the MLP, batch norm does this.

    That recipe takes few steps if there are few images. The fast one trains until it converges on
    any number of images: the linear probe is a logistic regression, which has one solution; the MLP
    takes at least `FAST_STEPS` steps.

    Attributes:
        representation: The representation on which it is trained.
        hidden: Whether there is a hidden layer of 200 units (batch norm, ReLU, dropout 0.1).
        epochs: Epochs of training by the authors' recipe.
        seeds: Number of trainings to average; seeds count from 0.
        learning_rate: Learning rate before the drop, by the authors' recipe.
        fast: Whether to use the fast recipe.
    """

    representation: Representation
    hidden: bool
    epochs: int
    seeds: int
    learning_rate: float = 1e-4
    fast: bool = False
    _confusion_matrices: list[ConfusionMatrix] = field(
        default_factory=list, init=False, compare=False
    )
    _c_values: list[float] = field(default_factory=list, init=False, compare=False)

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
    def training(self) -> ProbeTraining:
        """How the probe is trained, unless by logistic regression."""
        if self.fast:
            return fast_training(len(self.representation.data.train))
        return ProbeTraining(self.epochs, self.learning_rate)

    @property
    def protocol(self) -> dict[str, str]:
        if self.fast and not self.hidden:
            endpoints = self.representation.train
            chosen = ", ".join(
                f"{c:g} of {endpoint}"
                for endpoint, c in zip(endpoints, self._c_values, strict=False)
            )
            return {
                self.name: (
                    "logistic regression (--probe=fast) on the frozen features of all training "
                    "images, standardised and divided by the root of the number of features; "
                    "L-BFGS, C chosen on a fifth of the training images, of at most 10,000 (1 "
                    f"where these are too few): {chosen}; test images"
                )
            }
        training = self.training
        classifier = (
            f"one hidden layer of {MLP_UNITS} units, batch norm, ReLU, dropout {DROPOUT}"
            if self.hidden
            else "a linear classifier of standardised features"
        )
        name = "fast" if self.fast else "authors"
        decay = "falling to 0 along half a cosine" if training.cosine else "x0.1 after two thirds"
        return {
            self.name: (
                f"{classifier}, trained (--probe={name}) on the frozen features of all training "
                f"images: Adam {training.learning_rate:g}, betas (0.5, 0.999), batch "
                f"{training.batch_size}, {training.epochs} epochs, learning rate {decay}; test "
                "images, last epoch; mean of "
                + ("1 seed" if self.seeds == 1 else f"{self.seeds} seeds")
            )
        }

    def run(self) -> Iterator[Result]:
        self._confusion_matrices.clear()
        self._c_values.clear()
        data = self.representation.data
        for endpoint, features in self.representation.train.items():
            test_features = self.representation.test[endpoint]
            probabilities = self.predict(features, data.train.labels, test_features)
            if not data.has_classes:
                yield from self._attribute_results(endpoint, probabilities)
                continue
            predictions = probabilities.argmax(axis=2)
            yield accuracy(self.name, endpoint, predictions == data.test.labels, data.test.groups)
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
        statistics = attribute_metrics.statistics(probabilities, data.test.labels)
        for name in attribute_metrics.METRICS:
            values = [mean[name] for mean in means]
            interval = per_image = None
            if statistic := statistics.get(name):
                interval = bootstrap.interval(len(data.test), statistic, data.test.groups)
                per_image = PerImage(len(data.test), statistic, groups=data.test.groups)
            uncertainty = Uncertainty(sample_std(values), len(values), interval)
            value = float(np.mean(values))
            yield Result(f"{self.name}_{name}", endpoint, value, uncertainty, tables[0], per_image)

    def predict(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        test_features: np.ndarray,
        indices: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Trains the probes of all seeds.

        Args:
            features: float32 [N, F], features on which they are trained.
            labels: int [N], classes; or int [N, A], attributes 0 or 1.
            test_features: float32 [M, F].
            indices: For each seed the images of an epoch, int [K], the same number for all; None:
                all images.

        Returns:
            The predicted probabilities of the test features: float32 [trainings, M, classes]; one
            training for each seed, or only one if the problem has one solution.

        Raises:
            RunError: The training diverged.
        """
        data = self.representation.data
        outputs = len(data.label_names)
        if self.fast and not self.hidden:
            of_seeds = [None] if indices is None else [np.unique(images) for images in indices]
            fits = [
                logistic_regression.fit(features, labels, outputs, images) for images in of_seeds
            ]
            self._c_values.extend(c for _, c in fits)
            logits = np.stack([classifier.scores(test_features) for classifier, _ in fits])
        else:
            logits = probe_training.train(
                features,
                labels,
                test_features,
                outputs,
                self.hidden,
                self.training,
                indices or [np.arange(len(features))] * self.seeds,
            )
        if not np.isfinite(logits).all():
            advice = "check the features" if self.fast else "give a lower --probe_learning_rate"
            raise RunError(f"the {self.name} diverged; {advice}")
        return softmax(logits, axis=2) if data.has_classes else expit(logits)


def fast_training(images: int) -> ProbeTraining:
    """The fast recipe of an MLP on that many images; `benchmarks/probe_recipes.py` compares it."""
    steps = -(-images // FAST_BATCH_SIZE)
    epochs = max(FAST_EPOCHS, -(-FAST_STEPS // steps))
    return ProbeTraining(epochs, FAST_LEARNING_RATE, FAST_BATCH_SIZE, cosine=True)


def is_fast(experiment: Experiment) -> bool:
    """Whether the probes of an experiment are trained by the fast recipe; see --probe."""
    probe = experiment.evaluation.probe
    return probe == "fast" or (probe == "auto" and experiment.data.dataset == "folder")


def ignored_settings(experiment: Experiment) -> list[str]:
    """The settings of the authors' recipe that are given although the fast recipe is used."""
    if not is_fast(experiment):
        return []
    names = ("probe_epochs", "probe_learning_rate")
    return [name for name in names if getattr(experiment.evaluation, name) != default_of(name)]


def _spec(hidden: bool) -> MeasureSpec:
    def build(context: MeasureContext) -> Probe:
        settings = context.experiment.evaluation
        return Probe(
            context.representation,
            hidden,
            settings.probe_epochs,
            context.seeds,
            settings.probe_learning_rate,
            is_fast(context.experiment),
        )

    return MeasureSpec(build, requires=(needs_labels,))


LINEAR = _spec(hidden=False)
MLP = _spec(hidden=True)
