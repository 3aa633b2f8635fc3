"""Linear probes that see few labels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dim_tf.evaluation.measure import Kind, Result, of_hits
from dim_tf.evaluation.probes import Probe
from dim_tf.evaluation.representation import Representation


@dataclass(frozen=True)
class FewLabels:
    """The linear probe of `probes`, on few percent of the training images.

    As many of each class as its share asks for, at least one, drawn by each seed. The probe takes
    as many steps as on all of them.

    Attributes:
        representation: what it is trained on; its labels are classes.
        epochs: of all training images, whose number of steps is taken.
        seeds: draws and trainings to average; seeds count from 0.
        learning_rate: before the drop.
        percent: of each class.
    """

    representation: Representation
    epochs: int
    seeds: int
    learning_rate: float = 1e-4
    percent: tuple[int, ...] = (1, 10)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            _name(percent): Kind("share", "higher", f"linear probe, {percent} % of labels")
            for percent in self.percent
        }

    @property
    def protocol(self) -> dict[str, str]:
        labels = self.representation.splits.train.labels
        return {
            _name(percent): (
                f"the linear probe on {len(labelled(labels, percent, 0)):,} training images, drawn "
                f"class by class, with as many steps as on all {len(labels):,}; mean of "
                f"{self.seeds} draws"
            )
            for percent in self.percent
        }

    def run(self) -> Iterator[Result]:
        r = self.representation
        probe = Probe(r, False, self.epochs, self.seeds, self.learning_rate)
        labels = r.splits.train.labels
        for percent in self.percent:
            for endpoint, features in r.train.items():
                hits = []
                for seed in range(self.seeds):
                    # Repeated to the length of an epoch of all images.
                    rows = np.resize(labelled(labels, percent, seed), len(labels))
                    answers = probe.predict(
                        features[rows], labels[rows], r.test[endpoint], seed
                    ).argmax(1)
                    hits.append(answers == r.splits.test.labels)
                yield Result(_name(percent), endpoint, *of_hits(hits))


def _name(percent):
    return f"linear_probe_{percent}_percent"


def labelled(labels: np.ndarray, percent: float, seed: int) -> np.ndarray:
    """Rows of so many percent of each class, at least one, in random order.

    Args:
        labels: int [N], classes.
        percent: of each class, rounded.
        seed: decides which.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        count = max(round(len(of_class) * percent / 100), 1)
        drawn.append(rng.choice(of_class, count, replace=False))
    return rng.permutation(np.concatenate(drawn))
