"""Linear probes that see few labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dim_tf.evaluation.measure import MetricInfo, Result, accuracy
from dim_tf.evaluation.measure_spec import MeasureContext, MeasureSpec, needs_classes
from dim_tf.evaluation.measures.probes import Probe, is_fast
from dim_tf.evaluation.representation import Representation


@dataclass(frozen=True)
class FewLabels:
    """The linear probe of `probes`, trained on a few percent of the training images.

    The images are drawn class by class with each seed, at least one of each class. By the authors'
    recipe, the probe takes as many steps as on all images; the fast one trains until it converges.

    Attributes:
        representation: The representation on which it is trained; its labels are classes.
        epochs: Epochs over all training images; they determine the number of steps.
        seeds: Number of draws and trainings to average; seeds count from 0.
        learning_rate: Learning rate before the drop.
        percentages: Percentages of each class.
        fast: Whether to use the fast recipe; see `Probe`.
    """

    representation: Representation
    epochs: int
    seeds: int
    learning_rate: float = 1e-4
    percentages: tuple[int, ...] = (1, 10)
    fast: bool = False

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {
            _name(percent): MetricInfo("fraction", "higher", f"linear probe, {percent} % of labels")
            for percent in self.percentages
        }

    @property
    def protocol(self) -> dict[str, str]:
        labels = self.representation.data.train.labels
        steps = "" if self.fast else f", with as many steps as on all {len(labels):,}"
        probe = (
            "logistic regression by L-BFGS, C chosen for each draw (--probe=fast),"
            if self.fast
            else "the linear probe"
        )
        return {
            _name(percent): (
                f"{probe} on {len(stratified_indices(labels, percent, 0)):,} training "
                f"images, drawn class by class{steps}; mean of {self.seeds} draws"
            )
            for percent in self.percentages
        }

    def run(self) -> Iterator[Result]:
        probe = Probe(
            self.representation, False, self.epochs, self.seeds, self.learning_rate, self.fast
        )
        labels = self.representation.data.train.labels
        test = self.representation.data.test
        for percent in self.percentages:
            for endpoint, features in self.representation.train.items():
                test_features = self.representation.test[endpoint]
                # Repeated to the length of an epoch over all images.
                indices = [
                    np.resize(stratified_indices(labels, percent, seed), len(labels))
                    for seed in range(self.seeds)
                ]
                probabilities = probe.predict(features, labels, test_features, indices)
                correct = probabilities.argmax(axis=2) == test.labels
                yield accuracy(_name(percent), endpoint, correct, test.groups)


def _build(context: MeasureContext) -> FewLabels:
    settings = context.experiment.evaluation
    return FewLabels(
        context.representation,
        settings.probe_epochs,
        context.seeds,
        settings.probe_learning_rate,
        fast=is_fast(context.experiment),
    )


SPEC = MeasureSpec(_build, requires=(needs_classes,))


def _name(percent):
    return f"linear_probe_{percent}_percent"


def stratified_indices(labels: np.ndarray, percent: float, seed: int) -> np.ndarray:
    """Indices of the same percentage of each class, at least one, in random order.

    Args:
        labels: int [N], classes.
        percent: Percentage of each class, rounded.
        seed: Seed of the draw and the order.

    Returns:
        int [K].
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        count = max(round(len(of_class) * percent / 100), 1)
        drawn.append(rng.choice(of_class, count, replace=False))
    return rng.permutation(np.concatenate(drawn))
