"""`Summary`: a table's figures over its seeds, beside the paper's, with its gaps."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from dim_tf.errors import InputError, one_line
from dim_tf.evaluation.measure import Kind, spread
from dim_tf.evaluation.report.values import is_number
from dim_tf.tables import records
from dim_tf.tables.claims import Claims
from dim_tf.tables.definitions import Column, Row
from dim_tf.tables.plan import Job, Plan, without_folders
from dim_tf.tables.records import Record

FLOORS = ("random_encoder", "start_weights", "pixels")


@dataclass(frozen=True)
class Figure:
    """What was reached.

    Attributes:
        mean: over the seeds.
        std: standard deviation over the seeds; None for one.
        values: each seed's.
    """

    mean: float
    std: float | None
    values: list[float]


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        row: its definition.
        records: of its seeds that have figures.
        figures: by column, in their order; None where there is none.
        paper: likewise, the paper's in our units.
        gaps: what is missing and why, in words; empty: nothing.
    """

    row: Row
    records: list[Record]
    figures: list[Figure | None]
    paper: list[float | None]
    gaps: list[str]

    @property
    def seeds(self) -> list[int]:
        return [record.seed for record in self.records]

    def seconds(self, stage: str) -> float:
        """Of a stage, over the seeds."""
        return sum(record.cost.get(stage, 0.0) for record in self.records)


@dataclass(frozen=True)
class Order:
    """How far the rows stand in the paper's order, by one column.

    Attributes:
        column: its figures.
        ours: names, the best first; of the rows that both have.
        papers: likewise, by the paper's figures.
        pairs: of rows whose figures differ in the paper.
        different: names of the pairs that stand the other way round here, the paper's better first.
    """

    column: Column
    ours: list[str]
    papers: list[str]
    pairs: int
    different: list[tuple[str, str]]


@dataclass(frozen=True)
class Summary:
    """A table as it stands.

    Attributes:
        plan: of the table.
        columns: in their order.
        lines: its rows.
        floors: by name, the figures by column.
        orders: one a column that compares with the paper's.
    """

    plan: Plan
    columns: Sequence[Column]
    lines: list[Line]
    floors: dict[str, list[float | None]]
    orders: list[Order]

    @property
    def records(self) -> list[Record]:
        return [record for line in self.lines for record in line.records]

    @property
    def gaps(self) -> list[str]:
        """All of them, each with its row's name."""
        return [f"{line.row.name}: {gap}" for line in self.lines for gap in line.gaps]


def summarise(plan: Plan) -> Summary:
    """The table as its rows' files tell."""
    columns = plan.table.columns
    lines = [_line(plan, row, columns) for row in plan.table.rows]
    every = [record for line in lines for record in line.records] + records.with_floors(plan)
    floors = {name: _floor(name, every, columns) for name in FLOORS}
    floors = {name: found for name, found in floors.items() if any(v is not None for v in found)}
    orders = [
        order
        for index, column in enumerate(columns)
        if not column.apart and (order := _order(lines, index, column))
    ]
    return Summary(plan, columns, lines, floors, orders)


def kind(column: Column) -> Kind:
    """How a column's figures are read."""
    return Kind(column.unit, None, column.title)


def _line(plan: Plan, row: Row, columns: Sequence[Column]) -> Line:
    papers = [_paper(plan, row, column) for column in columns]
    if row.key in plan.gaps:
        return Line(row, [], [None] * len(columns), papers, [plan.gaps[row.key]])
    planned = [job.seed for job in plan.jobs if job.row.key == row.key]
    seeds = sorted({*planned, *records.seeds_of(plan, row.key)}) or plan.seeds[:1]
    found: list[Record] = []
    gaps: list[str] = []
    for seed in seeds:
        record, gap = _record(plan, plan.job(row, seed))
        if record and seed not in planned and not any(_has(record, c) for c in columns):
            continue  # another table measured it, and this one was not asked for it
        if record:
            found.append(record)
        if gap:
            gaps.append(gap if len(seeds) == 1 else f"seed {seed}: {gap}")
    figures = [_figure(found, column) for column in columns]
    if found:
        gaps += _missing(found, figures, columns)
    return Line(row, found, figures, papers, gaps)


def _record(plan: Plan, job: Job) -> tuple[Record | None, str]:
    """What a seed has, and why it has no more."""
    try:
        record = records.read(plan, job)
    except InputError as error:
        return None, f"not shown: {one_line(without_folders(str(error), plan))}"
    if record is None:
        if Claims(plan.folder / "claims").is_held(job.name):
            return None, "not finished: it is being run"
        begun = (job.experiment.run_path / "checkpoints").is_dir()
        return None, "not finished: it was stopped" if begun else "not run"
    failed = "; ".join(f"{name} failed: {why}" for name, why in record.failures(job).items())
    if record.evaluation:
        return record, failed
    return None, failed or "not shown: its record has no figures"


def _value(record: Record, column: Column) -> float | None:
    value = (record.evaluation.get(column.measure) or {}).get(column.endpoint)
    return float(value) if is_number(value) else None


def _has(record: Record, column: Column) -> bool:
    return _value(record, column) is not None


def _figure(found: Sequence[Record], column: Column) -> Figure | None:
    values = [value for record in found if (value := _value(record, column)) is not None]
    return Figure(statistics.fmean(values), spread(values), values) if values else None


def _missing(
    found: Sequence[Record], figures: Sequence[Figure | None], columns: Sequence[Column]
) -> list[str]:
    """Of rows with some figures, why others are not there."""
    gaps = []
    for column, figure in zip(columns, figures, strict=True):
        for record in found:
            if _value(record, column) is not None or column.asked in record.failed:
                continue
            told = record.evaluation.get("protocol", {}).get(column.asked, "")
            if not str(told).startswith("left out"):
                measured = column.asked in record.measures
                told = "this encoder has no such figure" if measured else "not measured"
            seed = f" of seed {record.seed}" if figure else ""
            gaps.append(f"{column.title}{seed}: {told}")
            if figure is None:
                break  # the same of all seeds
    return gaps


def _paper(plan: Plan, row: Row, column: Column) -> float | None:
    """The paper's figure in our unit; None where ours are of other images than the test images."""
    figures = {} if plan.experiment.data.validation_fraction else row.figures.get(plan.dataset, {})
    value = figures.get(column.measure, {}).get(column.endpoint)
    if value is None:
        return None
    return value / 100 if column.unit == "share" else value


def _floor(name: str, every: Sequence[Record], columns: Sequence[Column]) -> list[float | None]:
    """Of random weights by endpoint; of pixels, which have none, in a measure's first column."""
    values: list[float | None] = []
    filled: set[str] = set()
    for column in columns:
        value = None
        for record in every:
            of_floor: dict[str, Any] = record.evaluation.get("floors", {}).get(name, {})
            measured = of_floor.get(column.measure) or {}
            endpoint = "pixels" if name == "pixels" else column.endpoint
            if endpoint in measured and (name != "pixels" or column.measure not in filled):
                value = measured[endpoint]
                break
        if value is not None:
            filled.add(column.measure)
        values.append(value)
    return values


def _order(lines: Sequence[Line], index: int, column: Column) -> Order | None:
    """None where fewer than two rows have both figures."""
    both = [
        (line.row.name, figure.mean, theirs)
        for line in lines
        if line.row.has_order
        and (figure := line.figures[index]) is not None
        and (theirs := line.paper[index]) is not None
    ]
    pairs = [(a, b) if a[2] > b[2] else (b, a) for a, b in combinations(both, 2) if a[2] != b[2]]
    if not pairs:
        return None
    return Order(
        column,
        [name for name, _, _ in sorted(both, key=lambda item: -item[1])],
        [name for name, _, _ in sorted(both, key=lambda item: -item[2])],
        len(pairs),
        [(better[0], worse[0]) for better, worse in pairs if better[1] <= worse[1]],
    )
