"""Linear support vector machines on frozen features (Hjelm et al. 2019, section 4)."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from sklearn.utils.parallel import Parallel, delayed

from dim_tf.evaluation.measure import MetricInfo, Result, mean_accuracy
from dim_tf.evaluation.measure_spec import MeasureSpec, needs_classes
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.standardisation import moments, standardise

MAX_CONV_IMAGES = 10_000
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class SupportVectorMachine:
    """scikit-learn's LinearSVC (C = 1, squared hinge, one against the rest) on each endpoint.

    Features are standardised by the training images and divided by the root of their number, so
    that an image's norm is about 1: on many features of unit variance C = 1 would be next to no
    regularisation, and the solver would not converge. On conv each run draws 10,000 images; where
    all images are taken there is one run, since the problem has one solution.

    Attributes:
        representation: what it is trained on; its labels are classes.
        runs: trainings to average where images are drawn; their seeds count from 0.
        max_iterations: passes over the images, of each training.
    """

    representation: Representation
    runs: int = 5
    max_iterations: int = MAX_ITERATIONS
    _iterations: dict[str, list[int]] = field(default_factory=dict, init=False, compare=False)

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {"svm": MetricInfo("fraction", "higher", "linear SVM")}

    @property
    def protocol(self) -> dict[str, str]:
        protocol = (
            "scikit-learn's LinearSVC, C = 1, one against the rest, on standardised features over "
            "the root of their number"
        )
        for endpoint, counts in self._iterations.items():
            unfinished = sum(count >= self.max_iterations for count in counts)
            convergence = (
                f"{unfinished} of {len(counts)} not converged in {self.max_iterations:,} iterations"
                if unfinished
                else f"all converged, in {min(counts):,} to {max(counts):,} of at most "
                f"{self.max_iterations:,} iterations"
            )
            drawn = f", mean of {len(counts)} drawings" if len(counts) > 1 else ""
            protocol += f"; {endpoint}: {self._count(endpoint):,} images, {convergence}{drawn}"
        return {"svm": protocol}

    def run(self) -> Iterator[Result]:
        self._iterations.clear()
        test_labels = self.representation.data.test.labels
        for endpoint, features in self.representation.train.items():
            mean, variance = moments(features)
            root = np.float32(features.shape[1] ** 0.5)
            classifiers = self._fit(self._samples(endpoint, features, mean, variance, root))
            self._iterations[endpoint] = [int(classifier.n_iter_) for classifier in classifiers]
            test_features = standardise(self.representation.test[endpoint], mean, variance) / root
            correct = [
                classifier.predict(test_features) == test_labels for classifier in classifiers
            ]
            yield Result("svm", endpoint, *mean_accuracy(correct))

    def _count(self, endpoint):
        """Images that each training sees."""
        count = len(self.representation.data.train)
        return min(count, MAX_CONV_IMAGES) if endpoint == "conv" else count

    def _samples(self, endpoint, features, mean, variance, root):
        """Features and labels of each training."""
        labels = self.representation.data.train.labels
        count = self._count(endpoint)
        if count == len(features):
            yield standardise(features, mean, variance) / root, labels
            return
        for seed in range(self.runs):
            indices = np.random.default_rng(seed).choice(len(features), count, replace=False)
            yield standardise(features[indices], mean, variance) / root, labels[indices]

    def _fit(self, samples) -> list[LinearSVC]:
        """One classifier for each sample, in parallel."""
        with warnings.catch_warnings():
            # The protocol says which did not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return Parallel(n_jobs=min(self.runs, os.cpu_count() or 1))(
                delayed(self._classifier(seed).fit)(features, labels)
                for seed, (features, labels) in enumerate(samples)
            )

    def _classifier(self, seed):
        return LinearSVC(dual=True, random_state=seed, max_iter=self.max_iterations)


SPEC = MeasureSpec(lambda context: SupportVectorMachine(context.representation), (needs_classes,))
