"""A measure's interface: built from a representation; `run` yields results, `figures` plots."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.figures import Figure

NO_LABELS = "needs labels; these images have none"  # in the protocol of what was not measured


@dataclass(frozen=True)
class MetricInfo:
    """How to read the values of a metric.

    Attributes:
        unit: "fraction", in [0, 1], shown in percent; "auc", an area under the ROC curve; "nats";
            or "" for a plain number.
        better: Which values a better representation has; None if the metric ranks nothing.
        title: The metric in words, for the row of a table.
    """

    unit: Literal["fraction", "auc", "nats", ""]
    better: Literal["higher", "lower"] | None
    title: str


@dataclass(frozen=True)
class Uncertainty:
    """Uncertainty of a measured value.

    Attributes:
        std: Standard deviation over `n` trainings that differ in their seed; None for n = 1.
        n: Number of trainings averaged.
        ci95: 95 % interval of the mean over test sets of this size, by the bootstrap, which draws
            groups of images as a whole; None if it is not known.
    """

    std: float | None
    n: int
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class PerImage:
    """What a value was computed from, for each test image; the verdict resamples it.

    Attributes:
        num_images: N, the number of test images.
        statistic: The value over resampled test images.
        correct: float [N], the fraction of the trainings that classified each image correctly; None
            if the metric is not an accuracy.
        groups: int [N], which images are drawn together; None: each image is drawn alone.
    """

    num_images: int
    statistic: bootstrap.Statistic
    correct: np.ndarray | None = None
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """The value of one metric on one endpoint.

    Attributes:
        metric: Its name in evaluation.json.
        endpoint: Endpoint of the encoder.
        value: The measured value.
        uncertainty: Uncertainty of the value.
        attributes: If the value is a mean over attributes, the metrics of each, by name.
        per_image: What the value was computed from, if it is kept; never in a file.
    """

    metric: str
    endpoint: str
    value: float
    uncertainty: Uncertainty | None = None
    attributes: dict[str, dict] | None = None
    per_image: PerImage | None = field(default=None, compare=False, repr=False)


class Measure(Protocol):
    """A measure of a representation."""

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        """The metrics that `run` yields, by name."""

    @property
    def protocol(self) -> dict[str, str]:
        """How each metric was measured, one sentence each, by name; read after `run`."""

    def run(self) -> Iterator[Result]:
        """Measures every endpoint."""


@runtime_checkable
class Illustrated(Protocol):
    """A measure that has figures in addition to its values."""

    def figures(self) -> list[Figure]:
        """The figures; called after `run`."""


def accuracy(
    metric: str, endpoint: str, correct: Sequence[np.ndarray], groups: np.ndarray | None
) -> Result:
    """The mean accuracy over several trainings, with its standard deviation and interval.

    Args:
        metric: Its name in evaluation.json.
        endpoint: Endpoint of the encoder.
        correct: For each training bool [N], whether each test image was classified correctly.
        groups: int [N], groups of the test images, as in `splits.Split`; None: no groups.
    """
    accuracies = [float(np.mean(of_training)) for of_training in correct]
    mean_correct = np.mean(correct, axis=0)
    uncertainty = Uncertainty(
        sample_std(accuracies), len(accuracies), bootstrap.mean_interval(mean_correct, groups)
    )
    per_image = PerImage(len(mean_correct), bootstrap.mean_of(mean_correct), mean_correct, groups)
    return Result(metric, endpoint, float(np.mean(accuracies)), uncertainty, per_image=per_image)


def sample_std(values: Sequence[float]) -> float | None:
    """Standard deviation over trainings; None for a single one."""
    # Exactly 0 for equal values, which NumPy's is not.
    return statistics.stdev(values) if len(values) > 1 else None
