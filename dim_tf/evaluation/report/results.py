"""`Results`: the content of evaluation.json, read for people."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dim_tf.evaluation.measure import NO_LABELS, MetricInfo
from dim_tf.evaluation.report.formatting import (
    confidence_interval,
    format_std,
    format_value,
    is_number,
    join_with_and,
    reference_title,
)
from dim_tf.registry import FEATURES
from dim_tf.system.errors import InputError

# The first of these that was measured on the feature sums up a run: the paper's probe, and
# for attributes the AUC, which a constant answer cannot raise.
_HEADLINES = ("mlp_probe_auc", "linear_probe_auc", "mlp_probe", "linear_probe", "svm", "knn")
_FIRST_ENDPOINTS = ("conv", "fc", "global")
_UNITS, _DIRECTIONS = ("fraction", "auc", "nats", ""), ("higher", "lower", None)


def check(evaluation: dict[str, Any], path: Path) -> None:
    """Checks that each entry has the form that `evaluate` writes and `Results` expects.

    Args:
        evaluation: The object in the file.
        path: Path of the file, for the error.

    Raises:
        InputError: An entry has another form.
    """
    measures = evaluation.get("measures", {})
    tables: dict[str, Callable[[Any], bool]] = {
        "measures": _is_table(_is_metric_info),
        "uncertainty": _is_table(_is_table(_is_uncertainty)),
        "references": _is_table(_is_table(_is_table(_is_value))),
        "attributes": _is_table(_is_table(_is_table(_is_value))),
        "protocol": _is_table(lambda value: True),
        "feature": _is_feature,
        "cost": _is_table(lambda seconds: is_number(seconds) and seconds >= 0),
        "verdict": _is_verdict,
    }
    for name, has_form in tables.items():
        if not has_form(evaluation.get(name, {})):
            raise _wrong_form(path, name)
    uncertainties = evaluation.get("uncertainty", {})
    for name, info in measures.items():
        rows = [evaluation.get(name, {})]
        rows += [reference.get(name, {}) for reference in evaluation.get("references", {}).values()]
        intervals = [confidence_interval(u or {}) for u in uncertainties.get(name, {}).values()]
        for row in rows:
            if name in tables or not _is_table(_is_value)(row):
                raise _wrong_form(path, name)
            values = [value for value in row.values() if is_number(value)]
            values += [end for interval in intervals for end in interval or ()]
            if info["unit"] in ("fraction", "auc") and any(abs(value) > 1 for value in values):
                raise InputError(f"{path}: {name!r} is no {info['unit']}, it exceeds 1; {_REMEDY}")


_REMEDY = "run --mode=evaluate again"


def _wrong_form(path, name):
    return InputError(f"{path}: {name!r} is not as this version writes it; {_REMEDY}")


def _is_table(has_form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda entry: isinstance(entry, dict) and all(map(has_form, entry.values()))


def _is_metric_info(entry) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == {"unit", "better", "title"}
        and entry["unit"] in _UNITS
        and entry["better"] in _DIRECTIONS
        and isinstance(entry["title"], str)
    )


def _is_feature(entry) -> bool:
    """Whether it is a result of `feature_choice.choose`; empty if none, as for generated images."""
    if entry == {}:
        return True
    return (
        isinstance(entry, dict)
        and entry.get("name") in FEATURES
        and isinstance(entry.get("reason"), str)
        and entry.get("metric") in (None, "knn_and_linear_probe", "knn_auc_and_linear_probe_auc")
        and all(isinstance(entry.get(name), int) for name in ("max_features", "images"))
        and all(
            _is_table(is_number)(entry.get(name))
            for name in ("dimensions", "validation", "standard_error")
        )
        and _is_table(_is_table(is_number))(entry.get("parts"))
        and entry["validation"].keys() <= entry["dimensions"].keys()
        and bool(entry["metric"]) == bool(entry["validation"])
    )


def _is_value(entry) -> bool:
    return entry is None or is_number(entry) or (isinstance(entry, float) and not isfinite(entry))


def _is_verdict(entry) -> bool:
    if not entry:
        return entry in (None, {})
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sentence"), str)
        and _is_verdict(entry.get("probe"))
    )


def _is_uncertainty(entry) -> bool:
    if entry is None:
        return True
    if not isinstance(entry, dict):
        return False
    ends = entry.get("ci95")
    is_interval = isinstance(ends, list) and len(ends) == 2 and all(map(_is_value, ends))
    return _is_value(entry.get("std")) and _is_value(entry.get("n")) and (not ends or is_interval)


def reference_value(values: dict[str, Any], feature: str) -> Any:
    """A reference's value beside that of a feature; None if it has none.

    Args:
        values: Values of one metric, by endpoint.
        feature: The run's feature, which a reference may lack.
    """
    return next((values[e] for e in (feature, "global", "pixels") if e in values), None)


@dataclass(frozen=True)
class Results:
    """The results of one evaluation.

    Attributes:
        evaluation: The content of evaluation.json; empty for a run that was not evaluated.
    """

    evaluation: dict[str, Any]

    @property
    def measures(self) -> dict[str, MetricInfo]:
        """Unit, direction and title of each measure, in order."""
        return {
            name: MetricInfo(**info) for name, info in self.evaluation.get("measures", {}).items()
        }

    @property
    def is_outdated(self) -> bool:
        """Whether an older version wrote it, without the measures' units."""
        other_keys = ("protocol", "cost", "measures", "history", "attributes")
        return "measures" not in self.evaluation and not self.evaluation.keys() <= set(other_keys)

    def values(self, measure: str) -> dict[str, Any]:
        """The values of a measure by endpoint."""
        return self.evaluation.get(measure) or {}

    def uncertainty(self, measure: str, endpoint: str) -> dict[str, Any]:
        """The uncertainty of a value; empty if it is unknown."""
        return self.evaluation.get("uncertainty", {}).get(measure, {}).get(endpoint) or {}

    def references(self, measure: str) -> dict[str, dict[str, Any]]:
        """Values by reference and endpoint, for the references that have the measure."""
        references = self.evaluation.get("references", {})
        return {name: values[measure] for name, values in references.items() if values.get(measure)}

    def endpoints(self, *measures: str) -> list[str]:
        """The encoder's endpoints in the measures, in the order conv, fc, global, others."""
        endpoints: dict[str, None] = {}
        for measure in measures:
            for values in (self.values(measure), *self.references(measure).values()):
                endpoints |= dict.fromkeys(values)
        first = [endpoint for endpoint in _FIRST_ENDPOINTS if endpoint in endpoints]
        return first + [e for e in endpoints if e not in (*first, "pixels")]

    @property
    def feature(self) -> str:
        """The endpoint that the encoder returns; global if none was chosen."""
        return self.evaluation.get("feature", {}).get("name", "global")

    @property
    def ranking(self) -> list[str]:
        """The measures that rank the feature and share an axis: fractions and AUCs."""
        return [
            name
            for name, info in self.measures.items()
            if info.better == "higher"
            and info.unit in ("fraction", "auc")
            and is_number(self.values(name).get(self.feature))
        ]

    @property
    def headline(self) -> str | None:
        """The measure that sums up the run; None if no measure ranks it."""
        ranking = self.ranking
        known = [name for name in _HEADLINES if name in ranking]
        return next(iter(known + ranking), None)

    @property
    def lacks_labels(self) -> bool:
        """Whether nothing ranks the run because its images have no labels."""
        protocol = self.evaluation.get("protocol", {})
        return self.headline is None and any(NO_LABELS in str(text) for text in protocol.values())

    def summary(self) -> str:
        """The verdict; without one, the headline beside its references. May be Markup."""
        if verdict := self.evaluation.get("verdict"):
            return self._verdict(verdict)
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
            return f"No accuracy of the {self.feature} feature was measured."
        info = self.measures[measure]
        value = format_value(self.values(measure)[self.feature], info.unit)
        value += format_std(self.uncertainty(measure, self.feature), info.unit)
        references = [
            f"{format_value(reference, info.unit)} with {reference_title(name)}"
            for name, values in self.references(measure).items()
            if is_number(reference := reference_value(values, self.feature))
        ]
        name, colon, detail = info.title.partition(": ")
        sentence = "The {} on the {} feature reaches <strong>{}</strong>, {}."
        return Markup(sentence).format(
            f"{name} ({detail})" if colon else name,
            self.feature,
            value,
            f"beside {join_with_and(references)}" if references else "no reference was measured",
        )

    def _verdict(self, verdict: dict[str, Any]) -> Markup:
        """The sentence by kNN, and in smaller letters the one by the linear probe."""
        fact, colon, values = verdict["sentence"].partition(": ")
        text = Markup("<strong>{}</strong>{}{}").format(fact, colon, values)
        if probe := verdict.get("probe"):
            text += Markup("<br><small>{}</small>").format(probe["sentence"])
        return text
