"""Figures on one axis: what was reached, beside its references, the paper or other runs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dim_tf.evaluation.measure import MetricInfo
from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.results import Results
from dim_tf.evaluation.report.values import amount, capitalised, interval, is_number, label

# The class of each reference's mark.
_REFERENCE_CSS = {"random_encoder": "random", "start_weights": "start", "pixels": "pixels"}


@dataclass(frozen=True)
class Mark:
    """One figure.

    Attributes:
        value: where it stands.
        text: what it is, in words.
        css: class of its shape and colour.
        letter: inside of it; empty: none.
        ends: of its 95% interval; None: not known.
    """

    value: float
    text: str
    css: str
    letter: str = ""
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A measure and its figures; the last figure stands above the others."""

    kind: MetricInfo
    marks: Sequence[Mark]
    told: str  # at the end of the line: HTML


def of_run(experiment: dict[str, Any], results: Results) -> str:
    """The global feature by every such measure; empty where there are fewer than two figures."""
    lines = []
    used: dict[str, str] = {}
    rows = paper.rows(experiment)[:1]
    for measure in results.ranking:
        kind = results.kinds[measure]
        value = results.values(measure)["global"]
        others = {}
        for name, values in results.references(measure).items():
            others[_REFERENCE_CSS.get(name, "random")] = (
                values.get("global", values.get("pixels")),
                label(name),
            )
        for row in rows:
            if row.objective != paper.SUPERVISED and kind.unit == "fraction":
                theirs = row.figures.get(measure, {}).get("global")
                share = None if theirs is None else theirs / 100
                others["paper"] = (share, f"the paper, {escape(row.objective)}")
        marks = [
            Mark(v, f"{text}: {amount(kind, v)}", css)
            for css, (v, text) in others.items()
            if is_number(v)
        ]
        used |= {mark.css: others[mark.css][1] for mark in marks}
        ends = interval(results.uncertainty(measure, "global"))
        marks.append(Mark(value, f"this run: {amount(kind, value)}", "run", ends=ends))
        lines.append(Line(kind, marks, amount(kind, value)))
    if sum(len(line.marks) for line in lines) < 2:
        return ""
    keys = {"run": "this run, with its 95% interval where it is known", **used}
    return f"<h3>Global feature</h3>{axis(lines)}{legend(keys.items())}"


def legend(keys: Iterable[tuple[str, str]]) -> str:
    """What the marks are: (class, HTML) each."""
    items = "".join(
        f'<span class="key"><i class="dot {css}"></i>{text}</span>' for css, text in keys
    )
    return f'<p class="legend">{items}</p>'


def axis(lines: Sequence[Line]) -> str:
    """The lines over one axis, whose ends are round and are told."""
    every = [v for line in lines for mark in line.marks for v in (mark.value, *(mark.ends or ()))]
    low, high = math.floor(10 * min(every)) / 10, math.ceil(10 * max(every)) / 10
    low, high = max(low, -1.0), max(high, low + 0.1)
    tick = 0.1 if high - low <= 0.61 else 0.2
    count = round((high - low) / tick + 1e-9)
    ticks = [low + tick * index for index in range(count + 1) if low + tick * index <= high + 1e-9]

    def at(value):
        return f"{100 * min(max((value - low) / (high - low), 0), 1):.2f}%"

    grid = "".join(f'<i class="grid" style="left:{at(value)}"></i>' for value in ticks)
    body = ""
    for line in lines:
        track = grid
        for mark in line.marks:
            if mark.ends:
                begin, end = at(mark.ends[0]), at(mark.ends[1])
                style = f"left:{begin};width:calc({end} - {begin})"
                track += f'<i class="whisker {mark.css}" style="{style}"></i>'
            track += (
                f'<i class="dot {mark.css}" style="left:{at(mark.value)}" role="img" '
                f'aria-label="{mark.text}" title="{mark.text}">{escape(mark.letter)}</i>'
            )
        body += (
            f'<tr><th scope="row">{escape(capitalised(line.kind.title))}</th>'
            f'<td class="track"><div>{track}</div></td><td class="told">{line.told}</td></tr>'
        )
    numbers = "".join(
        f'<span style="left:{at(value)}">{100 * value:.0f}%</span>' for value in ticks
    )
    scale = f'<tr class="scale"><td></td><td class="track"><div>{numbers}</div></td><td></td></tr>'
    return f'<table class="axis"><tbody>{body}{scale}</tbody></table>'
