"""What a measure is: built from a representation; `run` yields results, `pictures` shows some."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np


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
        ci95: 95 % interval of the mean over test sets of this size; None if not known.
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

    def pictures(self) -> list[Any]:
        """Dataclasses of `dim_tf.evaluation.pictures`; asked for after `run`."""


def of_accuracies(accuracies: list[float], test_images: int) -> tuple[float, Uncertainty]:
    """The mean accuracy of several trainings, with its spread and its sampling error.

    Args:
        accuracies: in [0, 1], one a training.
        test_images: how many images each was measured on.

    Returns:
        The mean; its uncertainty, the interval being the normal one of a proportion.
    """
    mean = float(np.mean(accuracies))
    std = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    half = 1.96 * (mean * (1 - mean) / test_images) ** 0.5
    interval = (max(mean - half, 0.0), min(mean + half, 1.0))
    return mean, Uncertainty(std, len(accuracies), interval)
