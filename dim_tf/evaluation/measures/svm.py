"""Linear support vector machines on frozen features (Hjelm et al. 2019, section 4)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from dim_tf.evaluation import linear_classifier
from dim_tf.evaluation.measure import MetricInfo, Result, accuracy
from dim_tf.evaluation.measure_spec import MeasureSpec, needs_classes
from dim_tf.evaluation.representation import Representation

MAX_CONV_IMAGES = 10_000
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class SupportVectorMachine:
    """A linear SVM (C = 1, squared hinge, one against the rest) on each endpoint.

    The problem is that of scikit-learn's LinearSVC, whose solver does not converge on thousands of
    features in 1,000 passes; `linear_classifier` solves it. Features are standardised and divided
    by the square root of their number: on many features of unit variance, C = 1 would hardly
    regularise. On conv, each run draws 10,000 images. If all images are used there is only one run,
    because the problem has one solution.

    Attributes:
        representation: The representation on which it is trained; its labels are classes.
        runs: Number of trainings to average if images are drawn; their seeds count from 0.
        max_iterations: Limit of the solver's iterations in each training.
    """

    representation: Representation
    runs: int = 5
    max_iterations: int = MAX_ITERATIONS
    _classifiers: dict[str, list[linear_classifier.LinearClassifier]] = field(
        default_factory=dict, init=False, compare=False
    )

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {"svm": MetricInfo("fraction", "higher", "linear SVM")}

    @property
    def protocol(self) -> dict[str, str]:
        protocol = (
            "linear SVM, C = 1, squared hinge, one against the rest, on standardised features over "
            "the root of their number, solved by L-BFGS"
        )
        for endpoint, classifiers in self._classifiers.items():
            counts = [classifier.iterations for classifier in classifiers]
            unfinished = sum(not classifier.converged for classifier in classifiers)
            convergence = (
                f"{unfinished} of {len(counts)} not converged, {max(counts):,} iterations at most"
                if unfinished
                else f"all converged, in {min(counts):,} to {max(counts):,} of at most "
                f"{self.max_iterations:,} iterations"
            )
            drawn = f", mean of {len(counts)} drawings" if len(counts) > 1 else ""
            protocol += f"; {endpoint}: {self._count(endpoint):,} images, {convergence}{drawn}"
        return {"svm": protocol}

    def run(self) -> Iterator[Result]:
        self._classifiers.clear()
        data = self.representation.data
        for endpoint, features in self.representation.train.items():
            classifiers = [
                linear_classifier.Problem(
                    features,
                    data.train.labels,
                    len(data.label_names),
                    linear_classifier.squared_hinge_loss,
                    indices=indices,
                    penalise_bias=True,
                ).fit(c=1.0, max_iterations=self.max_iterations)
                for indices in self._samples(endpoint, len(features))
            ]
            self._classifiers[endpoint] = classifiers
            correct = [
                classifier.scores(self.representation.test[endpoint]).argmax(1) == data.test.labels
                for classifier in classifiers
            ]
            yield accuracy("svm", endpoint, correct, data.test.groups)

    def _count(self, endpoint):
        """The number of images in each training."""
        count = len(self.representation.data.train)
        return min(count, MAX_CONV_IMAGES) if endpoint == "conv" else count

    def _samples(self, endpoint, count):
        """The images of each training; None: all."""
        size = self._count(endpoint)
        if size == count:
            yield None
            return
        for seed in range(self.runs):
            yield np.random.default_rng(seed).choice(count, size, replace=False)


SPEC = MeasureSpec(lambda context: SupportVectorMachine(context.representation), (needs_classes,))
