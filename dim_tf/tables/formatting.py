"""Texts and cells of a table, for its page and for Markdown."""

import shlex
from collections.abc import Sequence
from typing import Any

from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.formatting import format_duration, format_value
from dim_tf.experiment import default_of
from dim_tf.tables.commands import to_flags
from dim_tf.tables.definitions import Column
from dim_tf.tables.plan import PATH_SETTINGS, Plan, result_settings, scalar
from dim_tf.tables.summary import Ranking, RowSummary, SeedStats, Summary

# Shown even if they have their defaults.
_ALWAYS_SHOWN = (
    "dataset",
    "encoder",
    "image_size",
    "epochs",
    "minutes",
    "steps",
    "batch_size",
    "learning_rate",
    "critic_units",
    "precision",
    "probe_epochs",
    "probe_seeds",
    "probe_learning_rate",
)


def table_command(summary: Summary) -> str:
    """The command that reproduces the table's rows and seeds, without this machine's paths.

    Several commands may each have run some of the rows; this one names all rows that have metrics.
    If none has any, it is the command that was run.
    """
    plan = summary.plan
    settings = {
        name: value
        for name, value in plan.explicit_settings.items()
        if name not in (*PATH_SETTINGS, "name")
    }
    if plan.dataset != default_of("dataset"):  # --data_dir, which is left out, may imply it
        settings.setdefault("dataset", plan.dataset)
    if summary.records:
        settings |= _rows_and_seeds(summary)
    return shlex.join(["python", "-m", "dim_tf.main", "--mode=table", *to_flags(settings)])


def _rows_and_seeds(summary: Summary) -> dict[str, str]:
    """Values of --rows and --table_seeds; a row without the first seeds gets all of them."""
    rows = [row for row in summary.rows if row.records]
    seeds = sorted({seed for row in rows for seed in row.seeds})
    entries = [
        row.definition.key
        if (count := len(row.seeds)) == len(seeds) or row.seeds != seeds[:count]
        else f"{row.definition.key}:{count}"
        for row in rows
    ]
    return {"rows": ",".join(entries), "table_seeds": ",".join(map(str, seeds))}


def shared_settings(plan: Plan) -> dict[str, Any]:
    """The settings that all rows share: those always shown, and those that are not defaults."""
    rows = [row for row in plan.table.rows if row.key not in plan.unavailable]
    by_row = [result_settings(plan.job(row, plan.seeds[0]).experiment) for row in rows]
    if not by_row:
        return {}
    values: dict[str, list[Any]] = {}
    for settings in by_row:
        for name, value in settings.items():
            values.setdefault(name, []).append(value)
    several = min(2, len(by_row))
    shared = {  # by all rows whose models have it, if there are several
        name: of_rows[0]
        for name, of_rows in values.items()
        if len(of_rows) >= several and all(value == of_rows[0] for value in of_rows)
    }
    names = [name for name in _ALWAYS_SHOWN if shared.get(name) not in (None, "", 0)]
    changed = [
        name
        for name, value in shared.items()
        if name not in (*_ALWAYS_SHOWN, "seed") and value != scalar(default_of(name))
    ]
    return {name: shared[name] for name in (*names, *changed)}


def newest_date(summary: Summary) -> str:
    """Date of the newest record; empty if there is none."""
    return max((record.date for record in summary.records), default="")


def notes(summary: Summary) -> list[str]:
    """What a reader needs to know about the values."""
    plan = summary.plan
    paper_shown = any(value is not None for row in summary.rows for value in row.paper)
    paper_has_table = any(row.paper for row in plan.table.rows)
    sentences = list(plan.table.notes) if paper_shown or not paper_has_table else []
    if fraction := plan.experiment.data.validation_fraction:
        sentences.append(
            f"Measured on {100 * fraction:g} % of the training images, held out, and not on the "
            "test images, on which the paper measures."
        )
    elif paper_has_table and not paper_shown:
        sentences.append(f"The paper has no values for {plan.dataset} in this table.")
    if paper_shown:
        sentences.append(
            f"The paper trains for {paper.EPOCHS[plan.dataset]:,} epochs; values from another "
            "number of epochs are not a reproduction."
        )
    titles: dict[str, list[str]] = {}
    for column in summary.columns:
        if column.not_comparable:
            titles.setdefault(column.not_comparable, []).append(column.title)
    for reason, names in titles.items():
        sentences.append(f"{', '.join(names)}: not comparable with the paper's, {reason}.")
    return sentences + _different_images(summary)


def _different_images(summary: Summary) -> list[str]:
    """Copies of a data set may differ, for instance after another JPEG encoding."""
    rows: dict[str, list[str]] = {}
    for row in summary.rows:
        fingerprints = {r.evaluation.get("protocol", {}).get("images") for r in row.records}
        for fingerprint in sorted(fingerprints - {None}):  # records of earlier versions have none
            rows.setdefault(fingerprint, []).append(row.definition.name)
    if len(rows) < 2:
        return []
    groups = "; ".join(", ".join(names) for names in rows.values())
    return [f"Not all rows used the same images, so that they do not compare: {groups}."]


def cost(summary: Summary) -> str:
    """Time, hardware, versions and date of all runs."""
    train, evaluate = (
        format_duration(sum(row.seconds(stage) for row in summary.rows))
        for stage in ("train", "evaluate")
    )
    hardware = "; ".join(machines(summary))
    software = ", ".join(
        f"{name} {'/'.join(numbers)}"
        for name, numbers in used_versions(summary).items()
        if any(numbers)
    )
    return (
        f"{train} of training and {evaluate} of measuring in {len(summary.records)} runs, on "
        f"{hardware}; {software}; newest values: {newest_date(summary)}"
    )


def machines(summary: Summary) -> list[str]:
    """The machines of all runs."""
    records = summary.records
    trained = {record.trained["machine"] for record in records if record.trained}
    return sorted(trained | {record.machine for record in records})


def used_versions(summary: Summary) -> dict[str, list[str]]:
    """The versions in all runs, by library."""
    names = dict.fromkeys(name for record in summary.records for name in record.versions)
    used = {name: {r.versions.get(name, "") for r in summary.records} for name in names}
    if trained := {record.trained["commit"] for record in summary.records if record.trained}:
        used["commit"] = used.get("commit", set()) | trained
    return {name: sorted(numbers) for name, numbers in used.items()}


def units(summary: Summary) -> str:
    """How the values are written."""
    percent = any(column.unit == "fraction" for column in summary.columns)
    text = (
        f"{'Percent; ' if percent else ''}mean ± standard deviation over the seeds, without ± for "
        "one seed"
    )
    paper_shown = any(_has_paper(summary, index) for index in range(len(summary.columns)))
    return f"{text}; the paper's value is next to each." if paper_shown else f"{text}."


def headings(summary: Summary) -> list[str]:
    """Headings of the cells; the paper has a column beside each one for which it has values."""
    cells = []
    for index, column in enumerate(summary.columns):
        cells += [column.title, "paper"] if _has_paper(summary, index) else [column.title]
    return [*cells, "seeds", "training"]


def _has_paper(summary: Summary, index: int) -> bool:
    """Whether the paper has a value for any row in that column."""
    return any(row.paper[index] is not None for row in summary.rows)


def row_cells(summary: Summary, row: RowSummary) -> list[str]:
    """Cells of a row in Markdown; without values, the first one says why."""
    cells = [row.definition.name]
    paper_cells = [
        paper_cell(column, value) for column, value in zip(summary.columns, row.paper, strict=True)
    ]
    if not any(paper_cells):
        first = next((i for i in range(len(paper_cells)) if _has_paper(summary, i)), 0)
        paper_cells[first] = "not in the paper"
    for index, column in enumerate(summary.columns):
        stats = row.stats[index]
        absent = row.gaps[0] if not row.records and index == 0 else "–"
        cells.append(_stats_cell(column, stats) if stats else absent)
        cells += [paper_cells[index]] if _has_paper(summary, index) else []
    seeds = ", ".join(map(str, row.seeds))
    return [*cells, seeds, format_duration(row.seconds("train")) if row.records else ""]


def reference_cells(summary: Summary, values: Sequence[float | None]) -> list[str]:
    """Cells of a reference, below `headings`."""
    cells = []
    for index, (column, value) in enumerate(zip(summary.columns, values, strict=True)):
        cells.append("" if value is None else format_value(value, column.unit, percent=""))
        cells += [""] if _has_paper(summary, index) else []
    return [*cells, "", ""]


def _stats_cell(column: Column, stats: SeedStats) -> str:
    mean = format_value(stats.mean, column.unit, percent="")
    return (
        mean
        if stats.std is None
        else f"{mean} ± {format_value(stats.std, column.unit, percent='')}"
    )


def paper_cell(column: Column, value: float | None) -> str:
    """The paper's value as printed there, in brackets if it is not comparable with ours."""
    if value is None:
        return ""
    text = f"{round(100 * value, 2):g}" if column.unit == "fraction" else f"{value:g}"
    return f"({text})" if column.not_comparable else text


def describe_ranking(ranking: Ranking) -> str:
    """A ranking in a few sentences."""
    concordant = ranking.pairs - len(ranking.discordant)
    text = (
        f"{ranking.column.title}: {concordant} of {ranking.pairs} pairs of rows are ranked as in "
        f"the paper. Ours, the best first: {', '.join(ranking.ours)}. "
        f"The paper's: {', '.join(ranking.paper)}."
    )
    if ranking.discordant:
        pairs = "; ".join(f"{better} above {worse}" for better, worse in ranking.discordant)
        text += f" Only in the paper: {pairs}."
    return text
