"""What is told of a table in words, on its page as in Markdown."""

import shlex
from collections.abc import Sequence
from typing import Any

from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.values import amount, duration
from dim_tf.experiment import default_of
from dim_tf.tables.definitions import Column
from dim_tf.tables.plan import PATHS, Plan, as_flags, identity
from dim_tf.tables.summary import Figure, Line, Order, Summary, kind

_SHARED = (
    "dataset",
    "encoder",
    "image_size",
    "epochs",
    "steps",
    "batch_size",
    "learning_rate",
    "mi_units",
    "precision",
    "probe_epochs",
    "probe_seeds",
    "probe_learning_rate",
)


def command(summary: Summary) -> str:
    """That makes the table, without this machine's folders: the rows and seeds that have figures.

    Several commands may have made it, each some of the rows; before there are figures, it is the
    one that was given.
    """
    plan = summary.plan
    given = {name: v for name, v in plan.given.items() if name not in (*PATHS, "name")}
    if summary.records:
        given |= _rows_and_seeds(summary)
    return shlex.join(["python", "-m", "dim_tf.main", "--mode=table", *as_flags(given)])


def _rows_and_seeds(summary: Summary) -> dict[str, str]:
    """As --rows and --table_seeds have them; a row whose seeds are not the first has them all."""
    lines = [line for line in summary.lines if line.records]
    seeds = sorted({seed for line in lines for seed in line.seeds})
    rows = [
        line.row.key
        if (count := len(line.seeds)) == len(seeds) or line.seeds != seeds[:count]
        else f"{line.row.key}:{count}"
        for line in lines
    ]
    return {"rows": ",".join(rows), "table_seeds": ",".join(map(str, seeds))}


def shared_settings(plan: Plan) -> dict[str, Any]:
    """The budget and what else all rows share: what a reader asks for, and what is no default."""
    rows = [row for row in plan.table.rows if row.key not in plan.gaps]
    every = [identity(plan.job(row, plan.seeds[0]).experiment) for row in rows]
    if not every:
        return {}
    shared = {
        name: value
        for name, value in every[0].items()
        if all(other.get(name) == value for other in every)
    }
    names = [name for name in _SHARED if shared.get(name) not in (None, "", 0)]
    others = [
        name
        for name, value in shared.items()
        if name not in (*_SHARED, "seed") and value != default_of(name)
    ]
    return {name: shared[name] for name in (*names, *others)}


def date(summary: Summary) -> str:
    """Of the newest figures; empty where there are none."""
    return max((record.date for record in summary.records), default="")


def notes(summary: Summary) -> list[str]:
    """What a reader has to know beside the figures."""
    plan = summary.plan
    shown = any(value is not None for line in summary.lines for value in line.paper)
    has_figures = any(row.figures for row in plan.table.rows)
    told = list(plan.table.notes) if shown or not has_figures else []
    if held_out := plan.experiment.data.validation_fraction:
        told.append(
            f"Measured on {100 * held_out:g} % of the training images, held out, and not on the "
            "test images, which the paper's figures are of."
        )
    elif has_figures and not shown:
        told.append(f"The paper has no figures of {plan.dataset} in this table.")
    if shown:
        told.append(
            f"The paper trains for {paper.EPOCHS[plan.dataset]:,} epochs; figures of another "
            "budget do not stand for its own."
        )
    apart = {c.apart: c.title for c in summary.columns if c.apart}
    for why in apart:
        titles = ", ".join(c.title for c in summary.columns if c.apart == why)
        told.append(f"{titles}: not comparable with the paper's, {why}.")
    return told + _other_images(summary)


def _other_images(summary: Summary) -> list[str]:
    """Copies of a data set may differ, as one that was encoded again does."""
    rows: dict[str, list[str]] = {}
    for line in summary.lines:
        found = {r.evaluation.get("protocol", {}).get("images") for r in line.records}
        for seen in sorted(found - {None}):  # records of earlier versions tell none
            rows.setdefault(seen, []).append(line.row.name)
    if len(rows) < 2:
        return []
    groups = "; ".join(", ".join(names) for names in rows.values())
    return [f"Not all rows saw the same images, so that they do not compare: {groups}."]


def cost(summary: Summary) -> str:
    """What all runs took together, on what, when."""
    seconds = [sum(line.seconds(s) for line in summary.lines) for s in ("train", "evaluate")]
    on = "; ".join(machines(summary))
    by = ", ".join(f"{n} {'/'.join(v)}" for n, v in used_versions(summary).items() if any(v))
    return (
        f"{duration(seconds[0])} of training and {duration(seconds[1])} of measuring in "
        f"{len(summary.records)} runs, on {on}; {by}; newest figures: {date(summary)}"
    )


def machines(summary: Summary) -> list[str]:
    """All that the runs were on."""
    records = summary.records
    trained = {record.trained["machine"] for record in records if record.trained}
    return sorted(trained | {record.machine for record in records})


def used_versions(summary: Summary) -> dict[str, list[str]]:
    """By library, all that the runs had."""
    names = dict.fromkeys(name for record in summary.records for name in record.versions)
    found = {name: {r.versions.get(name, "") for r in summary.records} for name in names}
    if trained := {record.trained["commit"] for record in summary.records if record.trained}:
        found["commit"] = found.get("commit", set()) | trained
    return {name: sorted(values) for name, values in found.items()}


def units(summary: Summary) -> str:
    """How the figures are written."""
    shares = any(column.unit == "share" for column in summary.columns)
    text = "Shares in percent; " if shares else ""
    return (
        f"{text}mean ± standard deviation over the seeds, without ± where there is one seed; "
        "beside each figure the paper's."
    )


def row_cells(summary: Summary, line: Line) -> list[str]:
    """Of a row in Markdown; a row without figures tells why in its first cell."""
    cells = [line.row.name]
    nothing = not line.records
    for index, column in enumerate(summary.columns):
        figure, theirs = line.figures[index], line.paper[index]
        told = line.gaps[0] if nothing and index == 0 else "–"
        cells += [_amount(column, figure) if figure else told, paper_cell(column, theirs)]
    seeds = ", ".join(map(str, line.seeds))
    return [*cells, seeds, duration(line.seconds("train")) if line.records else ""]


def floor_cells(summary: Summary, values: Sequence[float | None]) -> list[str]:
    """Of a floor, without its name."""
    cells = []
    for column, value in zip(summary.columns, values, strict=True):
        cells += ["" if value is None else amount(kind(column), value, percent=""), ""]
    return cells


def _amount(column: Column, figure: Figure) -> str:
    of = kind(column)
    around = "" if figure.std is None else f" ± {amount(of, figure.std, percent='')}"
    return amount(of, figure.mean, percent="") + around


def paper_cell(column: Column, value: float | None) -> str:
    """As it is printed there; in brackets where it does not compare."""
    if value is None:
        return ""
    text = f"{round(100 * value, 2):g}" if column.unit == "share" else f"{value:g}"
    return f"({text})" if column.apart else text


def order_told(order: Order) -> str:
    """In a few sentences."""
    alike = order.pairs - len(order.different)
    text = (
        f"{order.column.title}: {alike} of {order.pairs} pairs of rows stand as in the paper. "
        f"Ours, the best first: {', '.join(order.ours)}. "
        f"The paper's: {', '.join(order.papers)}."
    )
    if order.different:
        pairs = "; ".join(f"{better} above {worse}" for better, worse in order.different)
        text += f" Only in the paper: {pairs}."
    return text
