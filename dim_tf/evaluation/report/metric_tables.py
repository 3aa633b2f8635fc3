"""Tables of metrics, the paper's values beside them, attributes, costs, settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from dim_tf.evaluation import attribute_metrics
from dim_tf.evaluation.measure import MetricInfo
from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.formatting import (
    capitalize_first,
    format_duration,
    format_number,
    format_setting,
    format_std,
    format_uncertainty,
    format_value,
    is_number,
    label,
)
from dim_tf.evaluation.report.rendering import render
from dim_tf.evaluation.report.results import Results


@dataclass(frozen=True)
class MetricCell:
    """A metric's value in a table.

    Attributes:
        text: The value.
        std: The standard deviation, shown after it in small letters.
        title: The tooltip.
        is_best: Whether it is marked as the best.
        span: Number of columns that it takes.
    """

    text: str
    std: str = ""
    title: str = ""
    is_best: bool = False
    span: int = 1


def metrics_table(results: Results) -> Markup:
    """A table of measures by endpoints, with each measure's references below it."""
    if not results.measures:
        why = results.summary() if results.is_outdated else "This run was not evaluated."
        return Markup("<p>{}</p>").format(why)
    columns = results.endpoints(*results.measures)
    return render(
        "metrics_table.html",
        columns=columns,
        measures=[_measure_rows(results, name, columns) for name in results.measures],
        pooled=results.evaluation.get("protocol", {}).get("pooled"),
    )


def _measure_rows(results: Results, measure: str, columns: list[str]) -> dict[str, Any]:
    info = results.measures[measure]
    values, references = results.values(measure), results.references(measure)
    best = best_value([v for row in (values, *references.values()) for v in row.values()], info)

    def reference_cells(row: dict[str, Any]) -> list[MetricCell]:
        if "pixels" in row:  # no endpoint of an encoder
            return [_cell(row["pixels"], info.unit, best, span=max(len(columns), 1))]
        return [_cell(row.get(endpoint), info.unit, best) for endpoint in columns]

    return {
        "info": info,
        "cells": [
            _cell(values.get(e), info.unit, best, results.uncertainty(measure, e)) for e in columns
        ],
        "references": {name: reference_cells(row) for name, row in references.items()},
    }


def best_value(values: Iterable[Any], info: MetricInfo) -> float | None:
    """The best of several values; None if the measure ranks nothing or all values are equal."""
    finite = [value for value in values if is_number(value)]
    if info.better is None or len(set(finite)) < 2:
        return None
    return max(finite) if info.better == "higher" else min(finite)


def paper_comparison(experiment: dict[str, Any], results: Results) -> Markup:
    """The measures that the paper reports too, with its rows below the run's; may be empty."""
    rows = paper.rows(experiment)
    shared = [m for m in results.measures if any(m in row.values for row in rows)]
    if not shared:
        return Markup()
    columns = results.endpoints(*shared)
    measures = []
    for measure in shared:
        info, values = results.measures[measure], results.values(measure)
        cells = [
            _cell(values.get(e), info.unit, None, results.uncertainty(measure, e)) for e in columns
        ]
        paper_rows = [
            (row.objective, [_paper_cell(row.values[measure].get(e), info.unit) for e in columns])
            for row in rows
            if row.values.get(measure)
        ]
        measures.append({"info": info, "cells": cells, "paper_rows": paper_rows})
    return render(
        "paper_comparison.html",
        columns=columns,
        measures=measures,
        dataset=experiment["dataset"],
        paper_epochs=f"{paper.EPOCHS[experiment['dataset']]:,}",
        budget=_budget(experiment),
        is_second_hand=any(row.objective.endswith(paper.SECOND_HAND) for row in rows),
    )


def _budget(experiment: dict[str, Any]) -> str:
    """The length of training, as text."""
    if minutes := experiment.get("minutes"):
        return f"{minutes:g} minutes"
    epochs = experiment.get("epochs")
    return "another budget" if epochs is None else f"{epochs:,} epochs"


def _paper_cell(percent: float | None, unit: str) -> MetricCell:
    if percent is None:
        return MetricCell("–", title="not in the paper")
    return MetricCell(f"{percent:g}" + ("%" if unit == "fraction" else ""))


def attribute_tables(endpoints: dict[str, dict[str, dict[str, Any]]]) -> Markup:
    """A table for each endpoint: attributes by metrics, highest AUC first, missing ones last."""
    tables = []
    for endpoint, metrics in endpoints.items():
        columns = list(dict.fromkeys(column for values in metrics.values() for column in values))
        units = [
            attribute_metrics.METRICS[c].unit if c in attribute_metrics.METRICS else ""
            for c in columns
        ]
        rows = [
            (name, [_cell(values.get(c), unit) for c, unit in zip(columns, units, strict=True)])
            for name, values in sorted(
                metrics.items(), key=lambda item: -np.nan_to_num(item[1].get("auc") or 0)
            )
        ]
        tables.append((endpoint, [capitalize_first(label(column)) for column in columns], rows))
    return render("attribute_tables.html", tables=tables)


def cost_table(cost: dict[str, float]) -> Markup:
    """The seconds of each measure, with bars; empty if there are none."""
    if not cost:
        return Markup()
    longest = max(*cost.values(), 1e-9)
    rows = [
        (name, 100 * seconds / longest, format_duration(seconds)) for name, seconds in cost.items()
    ]
    return render("cost_table.html", rows=rows, total=format_duration(sum(cost.values())))


def settings_table(experiment: dict[str, Any]) -> Markup:
    """All settings, folded."""
    settings = {name: format_setting(value) for name, value in experiment.items()}
    return render("settings_table.html", settings=settings)


def definition_list(definitions: dict[str, Any], with_labels: bool = True) -> Markup:
    """Names and their meaning; empty if there are none.

    Args:
        definitions: Meaning by name.
        with_labels: Whether the names are shown as words.
    """
    if not definitions:
        return Markup()
    return render(
        "definition_list.html",
        definitions=[
            (
                capitalize_first(label(name)) if with_labels else name,
                format_number(value) if is_number(value) else format_setting(value),
            )
            for name, value in definitions.items()
        ],
    )


def _cell(
    value: Any,
    unit: str,
    best: float | None = None,
    uncertainty: dict[str, Any] | None = None,
    span: int = 1,
) -> MetricCell:
    if not is_number(value):
        why = "not measured" if value is None else "not a finite number"
        return MetricCell("–", title=why, span=span)
    uncertainty = uncertainty or {}
    return MetricCell(
        format_value(value, unit),
        std=format_std(uncertainty, unit),
        title=format_uncertainty(uncertainty, unit),
        is_best=value == best,
        span=span,
    )
