"""Training curves and histograms, as inline SVG.

We draw the charts ourselves: a chart here takes 1 to 5 kB, follows the style sheet (dark, print,
phone) and needs no script. matplotlib's SVG is ten times as large and has fixed colours.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from dim_tf.evaluation.figures import Histogram
from dim_tf.evaluation.report.formatting import format_number, format_value, is_number, label
from dim_tf.evaluation.report.rendering import render

CURVE_POINTS = 300  # of a single run
COMPARED_POINTS = 100  # of each of several runs: smoother, because the curves cross
NUM_COLORS = 10  # of the style sheet
NUM_DASHES = 4  # likewise

LEFT, TOP, WIDTH, HEIGHT = 46, 8, 252, 128  # the rectangle between the axes


@dataclass(frozen=True)
class Run:
    """A run whose curves are drawn.

    Attributes:
        letter: The letter at the end of its curves; empty for a single run.
        metrics: The lines of metrics.jsonl, in order.
    """

    letter: str
    metrics: list[dict[str, Any]]


class _Curve(NamedTuple):
    """One run's values of a metric."""

    color: int  # of the style sheet
    letter: str
    steps: np.ndarray
    values: np.ndarray


class _Axes(NamedTuple):
    """Ticks as (position in the SVG, text)."""

    x_name: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    left: int = LEFT
    top: int = TOP
    width: int = WIDTH
    height: int = HEIGHT


def aggregate(values: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` points: the means of equally long stretches, then the last value itself."""
    if len(values) <= limit:
        return values
    stretches = np.array_split(values[:-1], limit - 1)
    return np.array([*(stretch.mean() for stretch in stretches), values[-1]])


def training_curves(runs: Sequence[Run]) -> Markup:
    """A chart for each metric: the loss first, online probes next, the speed last."""
    names = dict.fromkeys(name for run in runs for line in run.metrics for name in line)
    first_or_last = ("step", "epoch", "loss", "images_per_second")
    probes = [name for name in names if "probe" in name]
    terms = [name for name in names if name not in (*first_or_last, *probes)]
    ordered = ("loss", *probes, *terms, "images_per_second")
    longest = max(len(run.metrics) for run in runs)
    return render(
        "training_curves.html",
        charts=[chart for name in ordered if (chart := _chart(name, runs))],
        averaged_steps=math.ceil((longest - 1) / (_max_points(runs) - 1)),
        is_single=len(runs) == 1,
    )


def _max_points(runs: Sequence[Run]) -> int:
    return CURVE_POINTS if len(runs) == 1 else COMPARED_POINTS


def _chart(name: str, runs: Sequence[Run]) -> dict[str, Any] | None:
    """The chart of a metric; values that are not finite are left out and counted."""
    recorded = [
        [
            (line["step"], line[name])
            for line in run.metrics
            if line.get(name) is not None and is_number(line.get("step"))
        ]
        for run in runs
    ]
    if not any(recorded):
        return None
    finite = [np.array([p for p in points if is_number(p[1])], float) for points in recorded]
    num_omitted = sum(len(a) - len(b) for a, b in zip(recorded, finite, strict=True))
    notes = [f"{num_omitted} values are not finite"] if num_omitted else []
    curves = [
        _Curve(
            index % NUM_COLORS,
            run.letter,
            *(aggregate(column, _max_points(runs)) for column in points.T),
        )
        for index, (run, points) in enumerate(zip(runs, finite, strict=True))
        if len(points)
    ]
    svg = Markup()
    if curves:
        low, high = _value_range([curve.values for curve in curves])
        values = np.concatenate([curve.values for curve in curves])
        outside = [end for end in (values.min(), values.max()) if not low <= end <= high]
        if outside:
            notes.append(f"beyond the axis: {' and '.join(map(format_number, outside))}")
        svg = _curves_svg(name, curves, low, high)
    last = format_value(recorded[0][-1][1]) if len(runs) == 1 else ""
    return {"name": name, "last": last, "svg": svg, "notes": notes}


def _value_range(curves: list[np.ndarray]) -> tuple[float, float]:
    """The range of the y axis: all curves in full, except extremes that would flatten the rest."""
    lows, highs = [], []
    for values in curves:
        low, high = np.percentile(values, [3, 97])
        margin = high - low
        lows.append(min(max(values.min(), low - margin), values[-1]))
        highs.append(max(min(values.max(), high + margin), values[-1]))
    return float(min(lows)), float(max(highs))


def _curves_svg(name: str, curves: list[_Curve], low: float, high: float) -> Markup:
    padding = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    low, high = low - padding, high + padding
    first = min(curve.steps[0] for curve in curves)
    last = max(curve.steps[-1] for curve in curves)
    lines = []
    for curve in curves:
        x = WIDTH * (curve.steps - first) / max(last - first, 1)
        y = HEIGHT * (high - curve.values) / (high - low)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append((curve, points, LEFT + x[-1], TOP + y[-1]))
    last_values = ", ".join(
        f"{curve.letter} last {format_number(curve.values[-1])}".strip() for curve in curves
    )
    return render(
        "curves_svg.html",
        description=f"{label(name)}, steps {first:,.0f} to {last:,.0f}, {last_values}",
        axes=_axes(first, last, low, high, "step", min_gap=1),
        lines=lines,
    )


def histogram(figure: Histogram) -> Markup:
    """Densities over the same bins, drawn as steps; several also differ by their dashes."""
    edges = np.asarray(figure.edges, float)
    densities = {name: np.asarray(values, float) for name, values in figure.series.items()}
    highest = max((float(values.max()) for values in densities.values()), default=0) or 1.0
    x = WIDTH * (edges - edges[0]) / max(edges[-1] - edges[0], 1e-12)
    series = []
    for index, (name, values) in enumerate(densities.items()):
        y = HEIGHT * (1 - values / (1.06 * highest))
        steps = "".join(f"V{b:.1f}H{a:.1f}" for a, b in zip(x[1:], y, strict=True))
        css = f"series s{index % NUM_COLORS} d{index % NUM_DASHES}"
        series.append((name, css, f"M{x[0]:.1f} {HEIGHT}{steps}V{HEIGHT}"))
    return render(
        "histogram.html",
        title=figure.title,
        axes=_axes(edges[0], edges[-1], 0.0, 1.06 * highest),
        series=series,
    )


def _axes(
    first: float, last: float, low: float, high: float, x_name: str = "", min_gap: float = 0
) -> _Axes:
    """The axes from `first` to `last` and `low` to `high`; `min_gap` is between ticks of x."""
    width = max(last - first, min_gap or 1e-12)
    return _Axes(
        x_name,
        [(LEFT + WIDTH * (x - first) / width, text) for x, text in _ticks(first, last, min_gap)],
        [(TOP + HEIGHT * (high - y) / (high - low), text) for y, text in _ticks(low, high)],
    )


def _ticks(low: float, high: float, min_gap: float = 0) -> Iterator[tuple[float, str]]:
    """Some round numbers from `low` to `high`, at least `min_gap` apart, with their text."""
    approximate = max((high - low) / 4, min_gap, 1e-12)
    power = 10.0 ** math.floor(math.log10(approximate))
    gap = next(f * power for f in (1, 2, 5, 10) if f * power >= 0.999 * approximate)
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9))
    for index in range(math.ceil(low / gap), math.floor(high / gap) + 1):
        text = f"{index * gap:,.{decimals}f}"
        yield index * gap, (text if len(text) < 9 else f"{index * gap:.3g}").replace("-", "−")
