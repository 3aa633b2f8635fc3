"""`Summary`: a table's metrics over the seeds, the paper's values, and what is missing."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from dim_tf.evaluation.measure import sample_std
from dim_tf.evaluation.report.formatting import is_number
from dim_tf.registry import REFERENCE_TITLES
from dim_tf.system.errors import InputError, one_line
from dim_tf.tables import records
from dim_tf.tables.definitions import Column, Row
from dim_tf.tables.leases import LeaseFolder
from dim_tf.tables.plan import Job, Plan, redact_paths
from dim_tf.tables.records import Record


@dataclass(frozen=True)
class SeedStats:
    """A metric over the seeds of a row.

    Attributes:
        mean: Mean over the seeds.
        std: Standard deviation over the seeds; None for one seed.
        values: The value of each seed.
    """

    mean: float
    std: float | None
    values: list[float]


@dataclass(frozen=True)
class RowSummary:
    """A row with its metrics.

    Attributes:
        definition: The definition of the row.
        records: The records of the seeds that have metrics.
        stats: Statistics by column, in order; None if there is no metric.
        paper: The paper's values in our units, by column in the same order.
        gaps: Sentences on what is missing and why; empty if nothing is missing.
    """

    definition: Row
    records: list[Record]
    stats: list[SeedStats | None]
    paper: list[float | None]
    gaps: list[str]

    @property
    def seeds(self) -> list[int]:
        return [record.seed for record in self.records]

    def seconds(self, stage: str) -> float:
        """Seconds of a stage, over all seeds."""
        return sum(record.cost.get(stage, 0.0) for record in self.records)


@dataclass(frozen=True)
class Ranking:
    """How far one column ranks the rows as the paper does.

    Attributes:
        column: Column of the table.
        ours: Names of the rows that have both values, the best first.
        paper: The same rows in the paper's order.
        pairs: Number of pairs of rows whose values differ in the paper.
        discordant: The pairs that are ranked in the opposite order here; the paper's better row
            first.
    """

    column: Column
    ours: list[str]
    paper: list[str]
    pairs: int
    discordant: list[tuple[str, str]]


@dataclass(frozen=True)
class Summary:
    """A table with all metrics that it has so far.

    Attributes:
        plan: Plan of the table.
        columns: The columns, in order.
        rows: The rows, in order.
        references: Values by column, by name of the reference.
        rankings: One for each column that is comparable with the paper's.
    """

    plan: Plan
    columns: Sequence[Column]
    rows: list[RowSummary]
    references: dict[str, list[float | None]]
    rankings: list[Ranking]

    @property
    def records(self) -> list[Record]:
        return [record for row in self.rows for record in row.records]

    @property
    def gaps(self) -> list[str]:
        """The gaps of all rows, each with the name of its row."""
        return [f"{row.definition.name}: {gap}" for row in self.rows for gap in row.gaps]


def summarise(plan: Plan) -> Summary:
    """The summary of a table's records."""
    columns = plan.columns
    rows = [_summarise_row(plan, row, columns) for row in plan.table.rows]
    all_records = [record for row in rows for record in row.records]
    all_records += records.records_with_references(plan)
    references = {name: _reference(name, all_records, columns) for name in REFERENCE_TITLES}
    references = {
        name: values for name, values in references.items() if any(v is not None for v in values)
    }
    rankings = [
        ranking
        for index, column in enumerate(columns)
        if not column.not_comparable and (ranking := _rank(rows, index, column))
    ]
    return Summary(plan, columns, rows, references, rankings)


def _summarise_row(plan: Plan, row: Row, columns: Sequence[Column]) -> RowSummary:
    paper = [_paper_value(plan, row, column) for column in columns]
    if row.key in plan.unavailable:
        return RowSummary(row, [], [None] * len(columns), paper, [plan.unavailable[row.key]])
    planned = [job.seed for job in plan.jobs if job.row.key == row.key]
    seeds = sorted({*planned, *records.recorded_seeds(plan, row.key)}) or plan.seeds[:1]
    measured: list[Record] = []
    gaps: list[str] = []
    for seed in seeds:
        record, gap = _read_seed(plan, plan.job(row, seed))
        if record and seed not in planned and not any(_has_value(record, c) for c in columns):
            continue  # another table measured it, and this command does not ask for it
        if record:
            measured.append(record)
        if gap:
            gaps.append(gap if len(seeds) == 1 else f"seed {seed}: {gap}")
    stats = [_seed_stats(measured, column) for column in columns]
    if measured:
        gaps += _missing_metrics(measured, stats, columns)
    return RowSummary(row, measured, stats, paper, gaps)


def _read_seed(plan: Plan, job: Job) -> tuple[Record | None, str]:
    """The record of a seed, and why it is missing or incomplete."""
    try:
        record = records.read(plan, job)
    except InputError as error:
        return None, f"not shown: {one_line(redact_paths(str(error), plan))}"
    if record is None:
        if LeaseFolder(plan.folder / "leases").is_held(job.name):
            return None, "not finished: it is running"
        begun = (job.experiment.run_path / "checkpoints").is_dir()
        return None, "not finished: it was stopped" if begun else "not run"
    failed = "; ".join(f"{name} failed: {why}" for name, why in record.failures(job).items())
    if record.evaluation:
        return record, failed
    return None, failed or "not shown: its record has no metrics"


def _value(record: Record, column: Column) -> float | None:
    value = (record.evaluation.get(column.metric) or {}).get(column.endpoint)
    return float(value) if is_number(value) else None


def _has_value(record: Record, column: Column) -> bool:
    return _value(record, column) is not None


def _seed_stats(measured: Sequence[Record], column: Column) -> SeedStats | None:
    values = [value for record in measured if (value := _value(record, column)) is not None]
    return SeedStats(statistics.fmean(values), sample_std(values), values) if values else None


def _missing_metrics(
    measured: Sequence[Record], stats: Sequence[SeedStats | None], columns: Sequence[Column]
) -> list[str]:
    """Why some columns of a row have no value, though others have one; a line for each reason."""
    without: dict[str, list[str]] = {}
    for column, seed_stats in zip(columns, stats, strict=True):
        for record in measured:
            if _has_value(record, column) or column.measure in record.failed:
                continue
            reason = str(record.evaluation.get("protocol", {}).get(column.measure, ""))
            if not reason.startswith("left out"):
                finished = column.measure in record.measures
                reason = "this encoder has no such metric" if finished else "not measured"
            seed = f" of seed {record.seed}" if seed_stats else ""
            without.setdefault(reason, []).append(f"{column.title}{seed}")
            if seed_stats is None:
                break  # the same for all seeds
    return [f"{', '.join(titles)}: {reason}" for reason, titles in without.items()]


def _paper_value(plan: Plan, row: Row, column: Column) -> float | None:
    """The paper's value in our unit; None if ours is not measured on the test images."""
    values = {} if plan.experiment.data.validation_fraction else row.paper.get(plan.dataset, {})
    value = values.get(column.metric, {}).get(column.endpoint)
    if value is None:
        return None
    return value / 100 if column.unit == "fraction" else value


def _reference(
    name: str, all_records: Sequence[Record], columns: Sequence[Column]
) -> list[float | None]:
    """A reference's values by column; pixels have no endpoints and fill a metric's first column."""
    values: list[float | None] = []
    filled: set[str] = set()
    for column in columns:
        value = None
        for record in all_records:
            metrics: dict[str, Any] = record.evaluation.get("references", {}).get(name, {})
            by_endpoint = metrics.get(column.metric) or {}
            endpoint = "pixels" if name == "pixels" else column.endpoint
            if endpoint in by_endpoint and (name != "pixels" or column.metric not in filled):
                value = by_endpoint[endpoint]
                break
        if value is not None:
            filled.add(column.metric)
        values.append(value)
    return values


def _rank(rows: Sequence[RowSummary], index: int, column: Column) -> Ranking | None:
    """The ranking by one column; None if it has no pair of rows to compare."""
    ranked = [
        (row.definition.name, stats.mean, paper)
        for row in rows
        if row.definition.is_ranked
        and (stats := row.stats[index]) is not None
        and (paper := row.paper[index]) is not None
    ]
    pairs = [(a, b) if a[2] > b[2] else (b, a) for a, b in combinations(ranked, 2) if a[2] != b[2]]
    if not pairs:
        return None
    return Ranking(
        column,
        ours=[name for name, _, _ in sorted(ranked, key=lambda item: -item[1])],
        paper=[name for name, _, _ in sorted(ranked, key=lambda item: -item[2])],
        pairs=len(pairs),
        discordant=[(better[0], worse[0]) for better, worse in pairs if better[1] <= worse[1]],
    )
