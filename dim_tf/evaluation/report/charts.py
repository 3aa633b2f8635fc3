"""Curves of training and histograms, as inline SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from dim_tf.evaluation.figures import Histogram
from dim_tf.evaluation.report.values import PLAIN, amount, capitalised, is_number, label, number

CURVE_POINTS = 300  # of one run
COMPARED_POINTS = 100  # of each of several: smoother, as they cross
COLOURS = 10  # of the style sheet

LEFT, TOP, WIDTH, HEIGHT = 46, 8, 252, 128


@dataclass(frozen=True)
class Run:
    """Whose curves are drawn.

    Attributes:
        mark: short, at the end of its curves; empty where there is one run alone.
        metrics: the lines of metrics.jsonl, in their order.
    """

    mark: str
    metrics: list[dict[str, Any]]


class _Curve(NamedTuple):
    """What is drawn of a run."""

    colour: int  # of the style sheet
    mark: str
    steps: np.ndarray
    values: np.ndarray


def aggregate(values: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` points: the means of equal stretches, then the last value itself."""
    if len(values) <= limit:
        return values
    stretches = np.array_split(values[:-1], limit - 1)
    return np.array([*(stretch.mean() for stretch in stretches), values[-1]])


def curves(runs: Sequence[Run]) -> str:
    """A chart for each metric: the loss first, what an online probe reaches next, speed last."""
    names = dict.fromkeys(name for run in runs for line in run.metrics for name in line)
    ends = ("step", "epoch", "loss", "images_per_second")
    probes = [name for name in names if "probe" in name]
    terms = [name for name in names if name not in (*ends, *probes)]
    ordered = ("loss", *probes, *terms, "images_per_second")
    figures = "".join(_curve(name, runs) for name in ordered)
    if not figures:
        return "<p>No training metrics were recorded.</p>"
    longest = max(len(run.metrics) for run in runs)
    size = math.ceil((longest - 1) / (_points(runs) - 1))
    line = f"means of up to {size} recorded steps" if size > 1 else "recorded steps"
    number_text = "" if len(runs) > 1 else " and number"
    note = f"Line: {line}. Dot{number_text}: the last recorded step."
    return f'<div class="curves">{figures}</div><p class="note">{note}</p>'


def _points(runs: Sequence[Run]) -> int:
    return CURVE_POINTS if len(runs) == 1 else COMPARED_POINTS


def _curve(name: str, runs: Sequence[Run]) -> str:
    """A small chart; values that are not finite are left out and counted."""
    recorded = [
        [
            (line["step"], line[name])
            for line in run.metrics
            if line.get(name) is not None and is_number(line.get("step"))
        ]
        for run in runs
    ]
    if not any(recorded):
        return ""
    finite = [np.array([p for p in points if is_number(p[1])], float) for points in recorded]
    left_out = sum(len(a) - len(b) for a, b in zip(recorded, finite, strict=True))
    notes = [f"{left_out} values are not finite"] if left_out else []
    chart = ""
    drawn = [
        _Curve(
            index % COLOURS, run.mark, *(aggregate(column, _points(runs)) for column in points.T)
        )
        for index, (run, points) in enumerate(zip(runs, finite, strict=True))
        if len(points)
    ]
    if drawn:
        low, high = _span([curve.values for curve in drawn])
        every = np.concatenate([curve.values for curve in drawn])
        ends = [end for end in (every.min(), every.max()) if not low <= end <= high]
        if ends:
            notes.append(f"beyond the axis: {' and '.join(map(number, ends))}")
        chart = _chart(name, drawn, low, high)
    last = amount(PLAIN, recorded[0][-1][1]) if len(runs) == 1 else ""
    caption = f"<figcaption><b>{capitalised(label(name))}</b> {last}</figcaption>"
    return f"<figure>{caption}{chart}<small>{'; '.join(notes)}</small></figure>"


def _span(curves: list[np.ndarray]) -> tuple[float, float]:
    """Ends of the y axis: all curves whole, but for extremes that would flatten the rest."""
    lows, highs = [], []
    for values in curves:
        low, high = np.percentile(values, [3, 97])
        margin = high - low
        lows.append(min(max(values.min(), low - margin), values[-1]))
        highs.append(max(min(values.max(), high + margin), values[-1]))
    return float(min(lows)), float(max(highs))


def _chart(name: str, drawn: list[_Curve], low: float, high: float) -> str:
    pad = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    first = min(curve.steps[0] for curve in drawn)
    last = max(curve.steps[-1] for curve in drawn)
    axes = _axes(first, last, low - pad, high + pad, "step", least=1)
    lines = ends = ""
    for colour, mark, steps, values in drawn:
        x = WIDTH * (steps - first) / max(last - first, 1)
        y = HEIGHT * (high + pad - values) / (high - low + 2 * pad)
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines += f'<polyline class="s{colour}" points="{line}"/>'
        # A dot for each run; a letter where there are several.
        at = f'cx="{LEFT + x[-1]:.1f}" cy="{TOP + y[-1]:.1f}"'
        ends += f'<circle class="s{colour}" {at} r="{7 if mark else 3.5}"/>'
        if mark:
            at = f'x="{LEFT + x[-1]:.1f}" y="{TOP + y[-1] + 3.5:.1f}"'
            ends += f'<text class="mark" {at}>{escape(mark)}</text>'
    told = ", ".join(f"{curve.mark} last {number(curve.values[-1])}".strip() for curve in drawn)
    text = f"{label(name)}, steps {first:,.0f} to {last:,.0f}, {escape(told)}"
    return _svg(text, axes, lines, ends)


def histogram(picture: Histogram) -> str:
    """Densities over the same bins, as steps; several are told apart by dashes too."""
    edges = np.asarray(picture.edges, float)
    series = {name: np.asarray(values, float) for name, values in picture.series.items()}
    most = max((float(values.max()) for values in series.values()), default=0) or 1.0
    axes = _axes(edges[0], edges[-1], 0.0, 1.06 * most, "")
    x = WIDTH * (edges - edges[0]) / max(edges[-1] - edges[0], 1e-12)
    drawn = legend = ""
    for index, (name, values) in enumerate(series.items()):
        y = HEIGHT * (1 - values / (1.06 * most))
        steps = "".join(f"V{b:.1f}H{a:.1f}" for a, b in zip(x[1:], y, strict=True))
        outline = f"M{x[0]:.1f} {HEIGHT}{steps}V{HEIGHT}"
        css = f"series s{index % COLOURS} d{index % 4}"
        drawn += f'<path class="{css}" d="{outline}"/>'
        key = f'<svg viewBox="0 0 24 8" aria-hidden="true"><path class="{css}" d="M0 4h24"/></svg>'
        legend += f'<span class="key">{key}{escape(name)}</span>'
    text = f"{escape(picture.title)}: densities of {escape(', '.join(series))}"
    caption = f"<figcaption><b>{escape(capitalised(picture.title))}</b></figcaption>"
    return f'<figure>{caption}{_svg(text, axes, drawn, "")}<p class="legend">{legend}</p></figure>'


def _svg(text: str, axes: str, inside: str, above: str) -> str:
    # The inner svg cuts off what lies outside of the axes.
    return (
        f'<svg viewBox="0 0 320 158" role="img" aria-label="{text}">{axes}'
        f'<svg x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}">{inside}</svg>{above}</svg>'
    )


def _axes(first: float, last: float, low: float, high: float, name: str, least: float = 0) -> str:
    """Grid lines and numbers; `name` stands at the left end of the x axis."""
    axes = f'<text x="{LEFT - 6}" y="{TOP + HEIGHT + 17}" class="end">{name}</text>' if name else ""
    for tick, text in _ticks(low, high):
        at = TOP + HEIGHT * (high - tick) / (high - low)
        axes += f'<path d="M{LEFT} {at:.1f}h{WIDTH}"/>'
        axes += f'<text x="{LEFT - 6}" y="{at + 4:.1f}" class="end">{text}</text>'
    for tick, text in _ticks(first, last, least):
        at = LEFT + WIDTH * (tick - first) / max(last - first, least or 1e-12)
        axes += f'<text x="{at:.1f}" y="{TOP + HEIGHT + 17}">{text}</text>'
    return axes


def _ticks(low: float, high: float, least: float = 0) -> Iterator[tuple[float, str]]:
    """Some round numbers from `low` to `high`, at least `least` apart, with their text."""
    rough = max((high - low) / 4, least, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9))
    for index in range(math.ceil(low / gap), math.floor(high / gap) + 1):
        text = f"{index * gap:,.{decimals}f}"
        yield index * gap, (text if len(text) < 9 else f"{index * gap:.3g}").replace("-", "−")
