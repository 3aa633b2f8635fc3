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
SHARE = 0.9
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class SupportVectorMachine:
    """scikit-learn's LinearSVC (C = 1, squared hinge, one against the rest) on each endpoint.

    Features are standardised by the training images. The primal solver is used, which converges
    where the dual one takes thousands of iterations. It draws nothing, so that seeds alone would
    all give the same machine: each run draws its training images, on conv 10,000, else nine tenths.

    Attributes:
        representation: what it is trained on; its labels are classes.
        runs: trainings to average; their seeds count from 0.
        max_iterations: Newton steps of each.
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
            f"scikit-learn's LinearSVC, C = 1, primal, of standardised features; mean of "
            f"{self.runs} seeds, each of which draws its training images"
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
        count = round(SHARE * len(self.representation.splits.train))
        return min(count, CONV_IMAGES) if endpoint == "conv" else count

    def run(self) -> Iterator[Result]:
        splits = self.representation.splits
        for endpoint, features in self.representation.train.items():
            hits = []
            for seed in range(self.runs):
                rng = np.random.default_rng(seed)
                rows = rng.choice(len(features), self._count(endpoint), replace=False)
                mean, variance = moments(features[rows])
                machine = LinearSVC(dual=False, random_state=seed, max_iter=self.max_iterations)
                with warnings.catch_warnings():
                    # The protocol tells which did not converge.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    machine.fit(
                        standardised(features[rows], mean, variance), splits.train.labels[rows]
                    )
                self._iterations.setdefault(endpoint, []).append(int(machine.n_iter_))
                test_features = standardised(self.representation.test[endpoint], mean, variance)
                hits.append(machine.predict(test_features) == splits.test.labels)
            yield Result("svm", endpoint, *of_hits(hits))
