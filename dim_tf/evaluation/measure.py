"""What a measure is: built from a representation; `run` yields results, `pictures` shows some."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.pictures import Picture

NO_LABELS = "needs labels; these images have none"  # in the protocol of what was not measured


@dataclass(frozen=True)
class Kind:
    """How the figures of a measure are read.

    Attributes:
        unit: "share" of a whole, in [0, 1], shown in percent; "auc", an area under the ROC curve;
            "nats"; or "" for a plain number.
        better: which figures are those of a better representation; None where the measure ranks
            nothing.
        title: in words, for a table's row.
    """

    unit: Literal["share", "auc", "nats", ""]
    better: Literal["higher", "lower"] | None
    title: str


@dataclass(frozen=True)
class Uncertainty:
    """Of a measured value.

    Attributes:
        std: standard deviation over `n` trainings that differ in their seed; None for n = 1.
        n: how many trainings were averaged.
        ci95: 95 % interval of the mean over test sets of this size, by the bootstrap; None if not
            known.
    """

    std: float | None
    n: int
    ci95: tuple[float, float] | None


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes:
        measure: its name in evaluation.json.
        endpoint: of the encoder.
        value: the figure.
        uncertainty: of it.
        attributes: where the value is a mean over attributes, each one's measures, by name.
    """

    measure: str
    endpoint: str
    value: float
    uncertainty: Uncertainty | None = None
    attributes: dict[str, dict] | None = None


class Measure(Protocol):
    """A measure of a representation."""

    @property
    def kinds(self) -> dict[str, Kind]:
        """Of each measure's name that `run` yields."""

    @property
    def protocol(self) -> dict[str, str]:
        """Names of what it measures, with a sentence each on how; read after `run`."""

    def run(self) -> Iterator[Result]:
        """Measures every endpoint."""


@runtime_checkable
class Illustrated(Protocol):
    """A measure that shows something beside its figures."""

    def pictures(self) -> list[Picture]:
        """Asked for after `run`."""


def of_hits(hits: Sequence[np.ndarray]) -> tuple[float, Uncertainty]:
    """The mean accuracy of several trainings, with its spread and its sampling error.

    Args:
        hits: one a training: bool [N], whether each test image was told right.

    Returns:
        The mean; its uncertainty.
    """
    accuracies = [float(np.mean(hit)) for hit in hits]
    return float(np.mean(accuracies)), Uncertainty(
        spread(accuracies), len(accuracies), bootstrap.of_mean(np.mean(hits, axis=0))
    )


def spread(figures: Sequence[float]) -> float | None:
    """Standard deviation over trainings; None for one."""
    # Of equal figures exactly 0, which NumPy's is not.
    return statistics.stdev(figures) if len(figures) > 1 else None
