"""A table as an HTML page in the style of the runs' reports."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from markupsafe import Markup

from dim_tf.evaluation.report import charts
from dim_tf.evaluation.report.dot_plot import Dot, Line, dot_plot, legend
from dim_tf.evaluation.report.formatting import format_duration, format_number, format_value
from dim_tf.evaluation.report.metric_tables import definition_list, settings_table
from dim_tf.evaluation.report.page import render_page
from dim_tf.evaluation.report.rendering import render
from dim_tf.system.files import atomic_write_text
from dim_tf.tables import formatting
from dim_tf.tables.summary import Summary
from dim_tf.training import metrics_file


def write_table_page(summary: Summary) -> None:
    """Writes the page into the table's folder."""
    plan = summary.plan
    num_measured = sum(1 for line in summary.rows if line.records)
    sections = {
        "Table": _rows_table(summary),
        "Comparison with the paper": _dot_plots(summary),
        "Ranking": _list([formatting.describe_ranking(ranking) for ranking in summary.rankings]),
        "Gaps": _list(summary.gaps),
        "Training": _training_curves(summary),
        "Notes": _list(formatting.notes(summary)),
        "Cost": _cost_table(summary),
        "Protocol": definition_list(_protocol(summary)),
        "Command": render("usage.html", code=formatting.table_command(summary), folder=""),
        "Settings": settings_table(formatting.shared_settings(plan)),
    }
    page = render_page(
        plan.table.title,
        f"{plan.dataset} · {plan.experiment.training.length}",
        Markup("<strong>{}</strong> of {} rows have values. {}").format(
            num_measured, len(summary.rows), formatting.units(summary)
        ),
        sections,
    )
    atomic_write_text(plan.folder / f"{plan.file_stem}.html", page)


def _rows_table(summary: Summary) -> Markup:
    letters = _letters(summary)
    rows = []
    for line in summary.rows:
        name, *cells = formatting.row_cells(summary, line)
        heading = (
            f"{letters[line.definition.key]} {name}" if line.definition.key in letters else name
        )
        if line.records:
            rows.append({"heading": heading, "cells": cells})
            continue
        paper_values = [
            f"{column.title} {formatting.paper_cell(column, value)}"
            for column, value in zip(summary.columns, line.paper, strict=True)
            if value is not None
        ]
        gap = "; ".join(line.gaps)
        gap += f" (the paper: {', '.join(paper_values)})" if paper_values else ""
        rows.append({"heading": heading, "cells": [], "gap": gap})
    return render(
        "paper_table.html",
        title=summary.plan.table.title,
        columns=formatting.headings(summary),
        rows=rows,
        references={
            name: formatting.reference_cells(summary, values)
            for name, values in summary.references.items()
        },
    )


def _letters(summary: Summary) -> dict[str, str]:
    """The letters of the rows with values, for the curves."""
    keys = [line.definition.key for line in summary.rows if line.records]
    return dict(zip(keys, ascii_uppercase, strict=False))


def _dot_plots(summary: Summary) -> Markup:
    """A plot for each column of fractions: our value and the paper's, row by row."""
    plots = Markup()
    for index, column in enumerate(summary.columns):
        lines = []
        for line in summary.rows:
            stats, paper_value = line.stats[index], line.paper[index]
            if column.unit != "fraction" or stats is None:
                continue
            text = format_value(stats.mean, column.unit)
            dots = [Dot(stats.mean, f"here: {text}", "run")]
            if paper_value is not None:
                paper_text = f"the paper: {format_value(paper_value, column.unit)}"
                dots.insert(0, Dot(paper_value, paper_text, "paper"))
            lines.append(Line(line.definition.name, dots, text))
        if lines:
            plots += Markup("<h3>{}</h3>{}").format(column.title, dot_plot(lines))
    entries = [("run", "", "here"), ("paper", "", "the paper, at its own budget")]
    return plots + legend(entries) if plots else plots


def _training_curves(summary: Summary) -> Markup:
    """The curves of the first seed of each row whose run folder is on this machine."""
    runs = []
    for key, letter in _letters(summary).items():
        line = next(line for line in summary.rows if line.definition.key == key)
        run_path = summary.plan.job(line.definition, line.seeds[0]).experiment.run_path
        if metrics := metrics_file.read(run_path / "metrics.jsonl"):
            runs.append(charts.Run(letter, metrics))
    return charts.training_curves(runs) if runs else Markup()


def _list(items: Sequence[str]) -> Markup:
    return render("list.html", items=items) if items else Markup()


def _cost_table(summary: Summary) -> Markup:
    if not summary.records:
        return Markup()
    rows = []
    for line in summary.rows:
        if not line.records:
            continue
        speeds = [v for r in line.records if (v := r.cost.get("images_per_second"))]
        times = [format_duration(line.seconds(stage)) for stage in ("train", "evaluate")]
        speed = format_number(sum(speeds) / len(speeds)) if speeds else "–"
        rows.append((line.definition.name, [*times, speed]))
    return render("row_costs.html", rows=rows, note=formatting.cost(summary))


def _protocol(summary: Summary) -> dict[str, Any]:
    """The protocol of the first row that has values."""
    if not summary.records:
        return {}
    protocol = summary.records[0].evaluation.get("protocol", {})
    return {name: text for name, text in protocol.items() if name not in ("step", "seed")}
