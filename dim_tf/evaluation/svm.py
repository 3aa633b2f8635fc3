"""Linear support vector machines on frozen features (Hjelm et al. 2019, section 4)."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from dim_tf.evaluation.measure import Kind, Result, of_hits
from dim_tf.evaluation.probes import moments, standardised
from dim_tf.evaluation.representation import Representation

CONV_IMAGES = 10_000
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class SupportVectorMachine:
    """scikit-learn's LinearSVC (C = 1, squared hinge, one against the rest) on each endpoint.

    Features are standardised by the training images and divided by the root of their number, which
    makes an image about 1 long: on many features of unit variance C = 1 would be next to no
    regularisation, and the solver would not converge. The runs differ in the order of the dual
    coordinate descent and, on conv, in which 10,000 images are drawn.

    Attributes:
        representation: what it is trained on; its labels are classes.
        runs: trainings to average; their seeds count from 0.
        max_iterations: over the images, of each.
    """

    representation: Representation
    runs: int = 5
    max_iterations: int = MAX_ITERATIONS
    _iterations: dict[str, list[int]] = field(default_factory=dict, init=False, compare=False)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {"svm": Kind("share", "higher", "linear SVM")}

    @property
    def protocol(self) -> dict[str, str]:
        told = (
            "scikit-learn's LinearSVC, C = 1, one against the rest, on standardised features over "
            f"the root of their number; mean of {self.runs} seeds"
        )
        for endpoint, counts in self._iterations.items():
            unfinished = sum(count >= self.max_iterations for count in counts)
            ends = (
                f"{unfinished} of {self.runs} not converged in {self.max_iterations:,} iterations"
                if unfinished
                else f"all converged, in {min(counts):,} to {max(counts):,} of at most "
                f"{self.max_iterations:,} iterations"
            )
            told += f"; {endpoint}: {self._count(endpoint):,} images, {ends}"
        return {"svm": told}

    def _count(self, endpoint):
        count = len(self.representation.splits.train)
        return min(count, CONV_IMAGES) if endpoint == "conv" else count

    def run(self) -> Iterator[Result]:
        self._iterations.clear()
        splits = self.representation.splits
        for endpoint, features in self.representation.train.items():
            hits = []
            for seed in range(self.runs):
                rng = np.random.default_rng(seed)
                rows = rng.choice(len(features), self._count(endpoint), replace=False)
                answers = self._answers(endpoint, rows, seed)
                hits.append(answers == splits.test.labels)
            yield Result("svm", endpoint, *of_hits(hits))

    def _answers(self, endpoint, rows, seed):
        """Trains on those rows; the classes of the test images."""
        features = self.representation.train[endpoint][rows]
        labels = self.representation.splits.train.labels[rows]
        mean, variance = moments(features)
        root = np.float32(features.shape[1] ** 0.5)
        machine = LinearSVC(dual=True, random_state=seed, max_iter=self.max_iterations)
        with warnings.catch_warnings():
            # The protocol tells which did not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(standardised(features, mean, variance) / root, labels)
        self._iterations.setdefault(endpoint, []).append(int(machine.n_iter_))
        test_features = self.representation.test[endpoint]
        return machine.predict(standardised(test_features, mean, variance) / root)
