"""`Results`: evaluation.json, read for people."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from dim_tf.evaluation.measure import NO_LABELS, Kind
from dim_tf.evaluation.report.values import (
    amount,
    interval,
    is_number,
    label,
    listed,
    spread,
)
from dim_tf.system.errors import InputError

# What a run is summed up by, the first that was measured on the global feature: the paper's probe,
# and for attributes the AUC, which the majority answer cannot reach.
_HEADLINES = ("mlp_probe_auc", "linear_probe_auc", "mlp_probe", "linear_probe", "svm", "knn")
_FIRST_ENDPOINTS = ("conv", "fc", "global")
_UNITS, _DIRECTIONS = ("share", "auc", "nats", ""), ("higher", "lower", None)


def check(evaluation: dict[str, Any], path: Path) -> None:
    """Checks what a file tells, of which `Results` expects that `evaluate` wrote it.

    Args:
        evaluation: the object in the file.
        path: of the file, for the error.

    Raises:
        InputError: an entry is of another form than in evaluation.json.
    """
    kinds = evaluation.get("measures", {})
    tables: dict[str, Callable[[Any], bool]] = {
        "measures": _is_table(_is_kind),
        "uncertainty": _is_table(_is_table(_is_uncertainty)),
        "floors": _is_table(_is_table(_is_table(_is_figure))),
        "attributes": _is_table(_is_table(_is_table(_is_figure))),
        "protocol": _is_table(lambda value: True),
        "cost": _is_table(lambda seconds: is_number(seconds) and seconds >= 0),
    }
    for name, fits in tables.items():
        if not fits(evaluation.get(name, {})):
            raise _unknown_form(path, name)
    doubts = evaluation.get("uncertainty", {})
    for name, kind in kinds.items():
        rows = [evaluation.get(name, {})]
        rows += [floor.get(name, {}) for floor in evaluation.get("floors", {}).values()]
        for row in rows:
            if name in tables or not _is_table(_is_figure)(row):
                raise _unknown_form(path, name)
            ends = [interval(of_one or {}) for of_one in doubts.get(name, {}).values()]
            figures = [one for one in row.values() if is_number(one)]
            figures += [end for pair in ends for end in pair or ()]
            if kind["unit"] in ("share", "auc") and any(abs(figure) > 1 for figure in figures):
                raise InputError(f"{path}: {name!r} is no {kind['unit']}, it exceeds 1; {_REMEDY}")


_REMEDY = "run --mode=evaluate again"


def _unknown_form(path, name):
    return InputError(f"{path}: {name!r} is not as this version writes it; {_REMEDY}")


def _is_table(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, dict) and all(fits(value) for value in found.values())


def _is_kind(found) -> bool:
    return (
        isinstance(found, dict)
        and set(found) == {"unit", "better", "title"}
        and found["unit"] in _UNITS
        and found["better"] in _DIRECTIONS
        and isinstance(found["title"], str)
    )


def _is_figure(found) -> bool:
    return found is None or is_number(found) or (isinstance(found, float) and not isfinite(found))


def _is_uncertainty(found) -> bool:
    if found is None:
        return True
    if not isinstance(found, dict):
        return False
    ends = found.get("ci95")
    is_interval = isinstance(ends, list) and len(ends) == 2 and all(map(_is_figure, ends))
    return _is_figure(found.get("std")) and _is_figure(found.get("n")) and (not ends or is_interval)


@dataclass(frozen=True)
class Results:
    """What was measured.

    Attributes:
        evaluation: of evaluation.json; empty where the run was not evaluated.
    """

    evaluation: dict[str, Any]

    @property
    def kinds(self) -> dict[str, Kind]:
        """Of each measure, in their order."""
        return {name: Kind(**kind) for name, kind in self.evaluation.get("measures", {}).items()}

    @property
    def is_outdated(self) -> bool:
        """Whether an older version wrote it, which did not tell how its figures are read."""
        told = ("protocol", "cost", "measures", "history", "attributes")
        return "measures" not in self.evaluation and any(k not in told for k in self.evaluation)

    def values(self, measure: str) -> dict[str, Any]:
        """Endpoint → value."""
        return self.evaluation.get(measure) or {}

    def uncertainty(self, measure: str, endpoint: str) -> dict[str, Any]:
        """Of a value; empty where nothing is known."""
        of_measure = self.evaluation.get("uncertainty", {}).get(measure, {})
        return of_measure.get(endpoint) or {}

    def floors(self, measure: str) -> dict[str, dict[str, Any]]:
        """Floor → endpoint → value, of the floors that have the measure."""
        floors = self.evaluation.get("floors", {})
        return {name: values[measure] for name, values in floors.items() if values.get(measure)}

    def endpoints(self, *measures: str) -> list[str]:
        """Those of the encoder that the measures were taken of, the usual ones first."""
        found: dict[str, None] = {}
        for measure in measures:
            for values in (self.values(measure), *self.floors(measure).values()):
                found |= dict.fromkeys(values)
        first = [endpoint for endpoint in _FIRST_ENDPOINTS if endpoint in found]
        return first + [e for e in found if e not in (*first, "pixels")]

    @property
    def ranking(self) -> list[str]:
        """The measures of the global feature that rank on one axis: shares and AUCs."""
        return [
            name
            for name, kind in self.kinds.items()
            if kind.better == "higher"
            and kind.unit in ("share", "auc")
            and is_number(self.values(name).get("global"))
        ]

    @property
    def headline(self) -> str | None:
        """The measure that sums up the run; None where none ranks."""
        ranking = self.ranking
        known = [name for name in _HEADLINES if name in ranking]
        return next(iter(known + ranking), None)

    @property
    def lacks_labels(self) -> bool:
        """Whether nothing ranks the run because its images have no labels."""
        protocol = self.evaluation.get("protocol", {})
        return self.headline is None and any(NO_LABELS in str(told) for told in protocol.values())

    def summary(self) -> str:
        """One sentence, as HTML: the headline of the global feature beside its floors."""
        measure = self.headline
        if self.is_outdated:
            return "An older version measured this run; evaluate it again by --mode=evaluate."
        if self.lacks_labels:
            if "knn" not in self.evaluation["protocol"]:  # which draws them without labels too
                return (
                    "Without labels no accuracy can be measured; --measures=knn shows neighbours."
                )
            return (
                "Without labels no accuracy can be measured: look at the nearest neighbours, and "
                "judge whether they belong together."
            )
        if measure is None:
            return "No accuracy of the global feature was measured."
        kind = self.kinds[measure]
        value = amount(kind, self.values(measure)["global"])
        value += spread(kind, self.uncertainty(measure, "global"))
        floors = [
            f"{amount(kind, floor)} with {label(name)}"
            for name, values in self.floors(measure).items()
            if is_number(floor := values.get("global", values.get("pixels")))
        ]
        beside = f"beside {listed(floors)}" if floors else "no floor was measured beside it"
        name, colon, what = kind.title.partition(": ")
        title = escape(f"{name} ({what})" if colon else name)
        return f"The {title} on the global feature reaches <strong>{value}</strong>, {beside}."
