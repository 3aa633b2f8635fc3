"""Linear support vector machines on frozen features (Hjelm et al. 2019, section 4)."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from sklearn.utils.parallel import Parallel, delayed

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
    regularisation, and the solver would not converge. The runs differ in which 10,000 images are
    drawn on conv; where all images are taken there is one run, since the problem has one solution.

    Attributes:
        representation: what it is trained on; its labels are classes.
        runs: trainings to average where images are drawn; their seeds count from 0.
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
            "the root of their number"
        )
        for endpoint, counts in self._iterations.items():
            unfinished = sum(count >= self.max_iterations for count in counts)
            ends = (
                f"{unfinished} of {len(counts)} not converged in {self.max_iterations:,} iterations"
                if unfinished
                else f"all converged, in {min(counts):,} to {max(counts):,} of at most "
                f"{self.max_iterations:,} iterations"
            )
            drawn = f", mean of {len(counts)} drawings" if len(counts) > 1 else ""
            told += f"; {endpoint}: {self._count(endpoint):,} images, {ends}{drawn}"
        return {"svm": told}

    def _count(self, endpoint):
        count = len(self.representation.splits.train)
        return min(count, CONV_IMAGES) if endpoint == "conv" else count

    def run(self) -> Iterator[Result]:
        self._iterations.clear()
        splits = self.representation.splits
        for endpoint, features in self.representation.train.items():
            mean, variance = moments(features)
            root = np.float32(features.shape[1] ** 0.5)
            samples = self._samples(endpoint, features, mean, variance, root)
            machines = self._trained(samples)
            self._iterations[endpoint] = [int(machine.n_iter_) for machine in machines]
            tested = standardised(self.representation.test[endpoint], mean, variance) / root
            hits = [machine.predict(tested) == splits.test.labels for machine in machines]
            yield Result("svm", endpoint, *of_hits(hits))

    def _samples(self, endpoint, features, mean, variance, root):
        """Features and labels of each training."""
        labels = self.representation.splits.train.labels
        if self._count(endpoint) == len(features):
            yield standardised(features, mean, variance) / root, labels
            return
        for seed in range(self.runs):
            count = self._count(endpoint)
            rows = np.random.default_rng(seed).choice(len(features), count, replace=False)
            yield standardised(features[rows], mean, variance) / root, labels[rows]

    def _trained(self, samples) -> list[LinearSVC]:
        """One of each sample, side by side."""
        with warnings.catch_warnings():
            # The protocol tells which did not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return Parallel(n_jobs=min(self.runs, os.cpu_count() or 1))(
                delayed(self._machine(seed).fit)(features, labels)
                for seed, (features, labels) in enumerate(samples)
            )

    def _machine(self, seed):
        return LinearSVC(dual=True, random_state=seed, max_iter=self.max_iterations)
