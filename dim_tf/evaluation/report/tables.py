"""Tables: measures, the paper's figures beside them, attributes, costs, settings."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

import numpy as np

from dim_tf.evaluation import attribute_metrics
from dim_tf.evaluation.measure import MetricInfo
from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.results import Results
from dim_tf.evaluation.report.values import (
    PLAIN,
    amount,
    capitalised,
    doubt,
    duration,
    is_number,
    label,
    number,
    plain,
    spread,
)

ARROWS = {"higher": "↑", "lower": "↓", None: ""}


def measures(results: Results) -> str:
    """Measure × endpoint, and under each measure its references."""
    kinds = results.kinds
    if not kinds:
        why = results.summary() if results.is_outdated else "This run was not evaluated."
        return f"<p>{why}</p>"
    columns = results.endpoints(*kinds)
    bodies = "".join(_measure_rows(results, name, columns) for name in kinds)
    note = (
        "Columns: the encoder's endpoints. ↑ higher is better, ↓ lower is better; where there is "
        'no arrow, the measure ranks nothing. <span class="best">Bold on colour</span>: the best '
        "of a measure, its references included. ±: the standard deviation over repetitions."
    )
    if pooled := results.evaluation.get("protocol", {}).get("pooled"):
        note += f" Large endpoints were averaged: {escape(str(pooled))}."
    return table("All measures", map(escape, columns), bodies) + f'<p class="note">{note}</p>'


def _measure_rows(results: Results, measure: str, columns: list[str]) -> str:
    kind = results.kinds[measure]
    trained, references = results.values(measure), results.references(measure)
    best = best_of([v for row in (trained, *references.values()) for v in row.values()], kind)
    cells = [_cell(kind, trained.get(e), best, results.uncertainty(measure, e)) for e in columns]
    rows = row(title(kind), cells)
    for name, reference in references.items():
        cells = [_cell(kind, reference.get(e), best, {}) for e in columns]
        if "pixels" in reference:  # no endpoint of an encoder
            cells = [_cell(kind, reference["pixels"], best, {}, span=max(len(columns), 1))]
        rows += row(label(name), cells, css="floor")
    return f"<tbody>{rows}</tbody>"


def title(kind: MetricInfo) -> str:
    """Of a measure, with its unit and which way is better."""
    unit = " (nats)" if kind.unit == "nats" else ""
    arrow = f' <span class="arrow">{ARROWS[kind.better]}</span>' if kind.better else ""
    return capitalised(escape(kind.title)) + unit + arrow


def best_of(values: Iterable[Any], kind: MetricInfo) -> float | None:
    """The best of several values; None where nothing ranks them, or they are all the same."""
    finite = [value for value in values if is_number(value)]
    if kind.better is None or len(set(finite)) < 2:
        return None
    return max(finite) if kind.better == "higher" else min(finite)


def beside_the_paper(experiment: dict[str, Any], results: Results) -> str:
    """The run's measures that the paper reports too, its rows under ours; empty without any."""
    rows = paper.rows(experiment)
    shared = [m for m in results.kinds if any(m in theirs.figures for theirs in rows)]
    if not shared:
        return ""
    columns = results.endpoints(*shared)
    bodies = ""
    for measure in shared:
        kind = results.kinds[measure]
        ours = results.values(measure)
        cells = [_cell(kind, ours.get(e), None, results.uncertainty(measure, e)) for e in columns]
        lines = row(title(kind), cells)
        for theirs in rows:
            figures = theirs.figures.get(measure, {})
            cells = [_paper_cell(kind, figures.get(endpoint)) for endpoint in columns]
            if figures:
                lines += row(f"paper, {escape(theirs.objective)}", cells, css="floor")
        bodies += f"<tbody>{lines}</tbody>"
    found = table("Beside the paper", map(escape, columns), bodies)
    note = f"First line of each: this run. {_budgets(experiment, rows)}"
    return f'<h3>Beside the paper</h3>{found}<p class="note">{note}</p>'


def _paper_cell(kind: MetricInfo, value: float | None) -> str:
    text = "–" if value is None else f"{value:g}" + ("%" if kind.unit == "fraction" else "")
    why = ' title="not in the paper"' if value is None else ""
    return f"<td{why}>{text}</td>"


def _budgets(experiment: dict[str, Any], rows: list[paper.Row]) -> str:
    dataset = experiment["dataset"]
    ours = f"{experiment['epochs']:,} epochs" if "epochs" in experiment else "another budget"
    note = (
        f"Paper: Hjelm et al., ICLR 2019 (arXiv 1808.06670), its rows for {escape(dataset)}. "
        f"Budgets differ: {paper.EPOCHS[dataset]:,} epochs of training there, {ours} here; probes "
        "are trained as the protocol below says."
    )
    if any(found.objective.endswith(paper.SECOND_HAND) for found in rows):
        note += " *: quoted second-hand, from later work."
    return note


def attribute_tables(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """For each endpoint the attributes, the best told first, those without an AUC last."""
    tables = ""
    for endpoint, rows in found.items():
        columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
        body = ""
        for name, cells in sorted(
            rows.items(), key=lambda item: -np.nan_to_num(item[1].get("auc") or 0)
        ):
            kinds = [attribute_metrics.METRICS.get(column, PLAIN) for column in columns]
            body += row(
                label(name),
                [_cell(k, cells.get(c), None, {}) for k, c in zip(kinds, columns, strict=True)],
            )
        text = f"{len(rows)} attributes told from {escape(endpoint)}, sorted by AUC"
        inner = table(text, (capitalised(label(column)) for column in columns), body)
        tables += f"<details><summary>{text}</summary>{inner}</details>"
    return tables


def costs(cost: dict[str, float]) -> str:
    """Seconds that each measure took, with bars."""
    if not cost:
        return ""
    most = max(max(cost.values()), 1e-9)
    rows = ""
    for name, seconds in cost.items():
        bar = f'<td class="bar"><i style="width:{100 * seconds / most:.1f}%"></i></td>'
        rows += row(capitalised(label(name)), [bar, f"<td>{duration(seconds)}</td>"])
    rows += row("Together", ["<td></td>", f"<td>{duration(sum(cost.values()))}</td>"], css="sum")
    return table("Cost of each measure", [], f"<tbody>{rows}</tbody>", css="costs")


def settings(experiment: dict[str, Any]) -> str:
    """All settings, folded."""
    rows = "".join(
        row(escape(name), [f'<td class="text">{plain(value)}</td>'])
        for name, value in experiment.items()
    )
    inner = table("Settings", [], rows)
    return f"<details><summary>All {len(experiment)} settings</summary>{inner}</details>"


def definitions(entries: dict[str, Any], named: Callable[[str], str] | None = None) -> str:
    """Names and what they mean."""
    names = named or (lambda name: capitalised(label(name)))
    rows = (f"<dt>{names(name)}</dt><dd>{_text(value)}</dd>" for name, value in entries.items())
    return f"<dl>{''.join(rows)}</dl>" if entries else ""


def _text(value: Any) -> str:
    return number(value) if is_number(value) else plain(value)


def _cell(
    kind: MetricInfo, value: Any, best: float | None, uncertainty: dict[str, Any], span: int = 1
) -> str:
    if not is_number(value):
        why = "not measured" if value is None else "not a finite number"
        return f'<td colspan="{span}" title="{why}">–</td>'
    around = spread(kind, uncertainty)
    text = amount(kind, value) + (f"<small>{around}</small>" if around else "")
    text = f'<strong class="best">{text}</strong>' if value == best else text
    text = f'<span class="all">{text}</span>' if span > 1 else text
    return f'<td colspan="{span}" title="{escape(doubt(kind, uncertainty))}">{text}</td>'


def row(heading: str, cells: Iterable[str], css: str = "") -> str:
    """A row whose heading and cells are HTML."""
    return f'<tr class="{css}"><th scope="row">{heading}</th>{"".join(cells)}</tr>'


def table(name: str, columns: Iterable[str], body: str, css: str = "") -> str:
    """A table that scrolls in its own box where the page is narrow.

    Args:
        name: for those who do not see it.
        columns: HTML of each heading but the first; empty: there is no head.
        body: HTML of its rows.
        css: its class.
    """
    cells = "".join(f'<th scope="col">{column}</th>' for column in columns)
    head = f"<thead><tr><td></td>{cells}</tr></thead>" if cells else ""
    return (
        f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">'
        f'<table class="{css}">{head}{body}</table></div>'
    )
