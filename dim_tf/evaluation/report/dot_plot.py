"""Values on one axis: a run's metrics beside its references, the paper's or other runs' values."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.charts import NUM_COLORS
from dim_tf.evaluation.report.formatting import (
    confidence_interval,
    format_value,
    is_number,
    reference_title,
)
from dim_tf.evaluation.report.rendering import render
from dim_tf.evaluation.report.results import Results, reference_value

# The style class of each reference's dots; those of --reference have numbers.
_REFERENCE_CSS = {"random_weights": "random", "start_weights": "start", "pixels": "pixels"}


@dataclass(frozen=True)
class Dot:
    """One value.

    Attributes:
        value: Its position on the axis.
        text: Its name and value, shown in the tooltip.
        css: The style class of its shape and colour.
        letter: The letter inside the dot; empty for none.
        interval: The 95% interval; None if it is unknown.
    """

    value: float
    text: str
    css: str
    letter: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """The values of one metric.

    Attributes:
        title: Title of the metric.
        dots: Its values; the last dot is drawn above the others.
        summary: The text at the end of the line.
    """

    title: str
    dots: Sequence[Dot]
    summary: str


def run_dot_plot(experiment: dict[str, Any], results: Results) -> Markup:
    """The metrics of the feature on one axis; empty if there are fewer than two values.

    Args:
        experiment: The run's settings.
        results: Its metrics.
    """
    lines = []
    marks = _reference_marks(results.evaluation.get("references", {}))
    legend_texts: dict[str, tuple[str, str]] = {}  # title -> style class and letter
    rows = paper.rows(experiment)[:1]
    for measure in results.ranking:
        info = results.measures[measure]
        value = results.values(measure)[results.feature]
        compared: dict[str, tuple[str, str, Any]] = {}  # title -> style class, letter and value
        for name, values in results.references(measure).items():
            value_of_name = reference_value(values, results.feature)
            compared[reference_title(name)] = *marks[name], value_of_name
        for row in rows:
            percent = row.values.get(measure, {}).get(results.feature)
            is_comparable = row.objective != paper.SUPERVISED and info.unit == "fraction"
            if is_comparable and percent is not None:
                compared[f"the paper, {row.objective}"] = "paper", "", percent / 100
        compared = {title: mark for title, mark in compared.items() if is_number(mark[2])}
        dots = [
            Dot(number, f"{title}: {format_value(number, info.unit)}", css, letter)
            for title, (css, letter, number) in compared.items()
        ]
        legend_texts |= {title: (css, letter) for title, (css, letter, _) in compared.items()}
        interval = confidence_interval(results.uncertainty(measure, results.feature))
        text = format_value(value, info.unit)
        dots.append(Dot(value, f"this run: {text}", "run", interval=interval))
        lines.append(Line(info.title, dots, text))
    if sum(len(line.dots) for line in lines) < 2:
        return Markup()
    entries = [("run", "", "this run, with its 95% interval where it is known")]
    entries += [(css, letter, title) for title, (css, letter) in legend_texts.items()]
    return Markup("<h3>The {} feature</h3>{}{}").format(
        results.feature, dot_plot(lines), legend(entries)
    )


def _reference_marks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Style class and letter of each reference's dots; models from elsewhere have numbers."""
    marks = {}
    number = 0
    for name in names:
        if name in _REFERENCE_CSS:
            marks[name] = _REFERENCE_CSS[name], ""
        else:
            number += 1
            marks[name] = f"letter s{number % NUM_COLORS}", str(number)
    return marks


def legend(entries: Iterable[tuple[str, str, str]]) -> Markup:
    """The legend of a dot plot.

    Args:
        entries: The style class, the letter and the text of each kind of dot.
    """
    return render("dot_legend.html", entries=entries)


def dot_plot(lines: Sequence[Line]) -> Markup:
    """The lines over one axis that goes from a multiple of 10% to another, with labelled ticks."""
    values = [v for line in lines for dot in line.dots for v in (dot.value, *(dot.interval or ()))]
    low, high = math.floor(10 * min(values)) / 10, math.ceil(10 * max(values)) / 10
    low, high = max(low, -1.0), max(high, low + 0.1)
    step = 0.1 if high - low <= 0.61 else 0.2
    count = round((high - low) / step + 1e-9)
    ticks = [low + step * index for index in range(count + 1) if low + step * index <= high + 1e-9]

    def position(value: float) -> str:
        return f"{100 * min(max((value - low) / (high - low), 0), 1):.2f}%"

    return render("dot_plot.html", lines=lines, ticks=ticks, position=position)
