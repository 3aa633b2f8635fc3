"""`Record`: what is known of a run of a row, as a JSON file of its own."""

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dim_tf.errors import InputError, one_line
from dim_tf.evaluation.report import results
from dim_tf.evaluation.report.values import is_number
from dim_tf.experiment import Experiment, default_of
from dim_tf.files import json_object, read_text, replace_text
from dim_tf.registry import FLOOR_MEASURES, MEASURES
from dim_tf.tables.plan import Job, Plan, differences

FLOORS = "floors"  # in `Record.failed`: what failed is a measure of a floor
# On which the figures of floors depend.
_FLOOR_SETTINGS = (
    "dataset",
    "image_size",
    "validation_fraction",
    "encoder",
    "encoder_weights",
    "init_from",
    "latent_dim",
    "max_features",
    "precision",
    "probe_epochs",
    "probe_learning_rate",
)


@dataclass(frozen=True)
class Record:
    """A run that was finished, or that failed.

    Attributes:
        row: its key.
        seed: of the run.
        settings: on which the figures depend.
        measures: what was measured, by the names of --measures.
        evaluation: of evaluation.json.
        failed: why, by the name of the stage or the measure that failed, or `FLOORS`.
        cost: seconds of each stage, "images_per_second" of training.
        versions: of what ran last.
        machine: on which.
        date: when it was finished.
        command: that gives the same figures, in a process of its own.
        attempt: another one at each writing.
        trained: "commit", "machine" and "date" of the first figures of these weights, where others
            were added later.
    """

    row: str
    seed: int
    settings: dict[str, Any]
    measures: list[str]
    evaluation: dict[str, Any]
    failed: dict[str, str]
    cost: dict[str, float]
    versions: dict[str, str]
    machine: str
    date: str
    command: str
    attempt: str = field(default="")
    trained: dict[str, str] = field(default_factory=dict)

    def has(self, job: Job) -> bool:
        """Whether all that the job measures was measured."""
        return set(job.experiment.evaluation.measure_names) <= set(self.measures)

    def failures(self, job: Job) -> dict[str, str]:
        """Of `failed`, those that are the job's: of its stages and of what it measures."""
        others = {*MEASURES, FLOORS} - asked(job)
        return {name: why for name, why in self.failed.items() if name not in others}

    def origin(self) -> dict[str, str]:
        """What `trained` tells, of this record."""
        commit = self.versions.get("commit", "")
        return {"commit": commit, "machine": self.machine, "date": self.date}

    def write(self, path: Path) -> None:
        """Writes it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
        replace_text(path, text + "\n")


def asked(job: Job) -> set[str]:
    """What a job measures, by the names of --measures, and `FLOORS` if it measures those."""
    return {
        *job.experiment.evaluation.measure_names,
        *([FLOORS] if job.experiment.evaluation.references else []),
    }


def path_of(folder: Path, name: str) -> Path:
    """Of a run's record in the table's folder, or in that of its results."""
    return folder / "rows" / f"{name}.json"


def read(plan: Plan, job: Job) -> Record | None:
    """The run's record; None if there is none.

    The table's folder goes before that of its results.

    Raises:
        InputError: it has figures of other settings, or it is no record.
    """
    for folder in (plan.folder, plan.results):
        if folder is None or not path_of(folder, job.name).exists():
            continue
        path = path_of(folder, job.name)
        record = _read(path)
        if found := differences(record.settings, job.experiment):
            if not record.measures:
                continue  # it failed and has no figures that could be mixed
            raise InputError(
                f"{path} is of other settings ({'; '.join(found)}); give another --run_dir"
            )
        return record
    return None


def _read(path: Path) -> Record:
    """The record in a file.

    Raises:
        InputError: it cannot be read, or is no record.
    """
    try:
        content = json_object(read_text(path))
        _check(content, path)
        return Record(**content)
    except (OSError, ValueError, TypeError, InputError) as error:
        reason = error.strerror if isinstance(error, OSError) else one_line(error, 300)
        raise InputError(
            f"{path} is no row's figures ({reason}); remove it, or give another --run_dir"
        ) from error


def _check(content: Mapping[str, Any], path: Path) -> None:
    """Raises ValueError or InputError where an entry is not as `Record.write` writes it."""
    for name, fits in _ENTRIES.items():
        if name in content and not fits(content[name]):
            raise ValueError(f"{name!r} is not as this version writes it")
    evaluation = content.get("evaluation", {})
    results.check(evaluation, path)
    if content.get("measures") and not evaluation:
        raise ValueError("it names measures and has no evaluation")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_table_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda found: isinstance(found, dict) and all(map(fits, found.values()))


_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "seed": lambda found: type(found) is int,
    "settings": _is_table_of(lambda value: isinstance(value, str | int | float | bool | list)),
    "measures": lambda found: isinstance(found, list) and all(map(_is_text, found)),
    # Tables by endpoint, and what `results.check` looks into.
    "evaluation": _is_table_of(lambda value: value is None or isinstance(value, dict)),
    "failed": _is_table_of(_is_text),
    "cost": _is_table_of(lambda value: is_number(value) and value >= 0),
    "versions": _is_table_of(_is_text),
    "trained": lambda found: (
        found == {}
        or (_is_table_of(_is_text)(found) and found.keys() >= {"commit", "machine", "date"})
    ),
    **dict.fromkeys(("row", "machine", "date", "command", "attempt"), _is_text),
}


def without_known_floors(plan: Plan) -> list[Job]:
    """The plan's jobs, without floors that another run has or that none of its measures has."""
    known = list(_all_records(plan))
    shown = {column.measure for column in plan.table.columns if column.asked in FLOOR_MEASURES}
    found = []
    for job in plan.jobs:
        experiment = job.experiment
        wanted = {name for name in experiment.evaluation.measure_names if name in FLOOR_MEASURES}
        has_them = not wanted or any(
            (record.row, record.seed) != (job.row.key, job.seed)
            and _has_floors_of(record, experiment)
            and shown <= record.evaluation["floors"].get("random_encoder", {}).keys()
            and wanted <= set(record.measures)
            for record in known
        )
        floors = experiment.evaluation.references and not has_them
        found.append(dataclasses.replace(job, experiment=experiment.replace(references=floors)))
    return found


def with_floors(plan: Plan) -> list[Record]:
    """Those with floors of the table's encoders, of the rows of other tables too."""
    rows = [row for row in plan.table.rows if row.key not in plan.gaps]
    experiments = [plan.job(row, plan.seeds[0]).experiment for row in rows]
    return [
        record
        for record in _all_records(plan)
        if any(_has_floors_of(record, experiment) for experiment in experiments)
    ]


def _has_floors_of(record: Record, experiment: Experiment) -> bool:
    settings = experiment.to_dict()
    return bool(record.evaluation.get("floors")) and all(
        record.settings.get(name, default_of(name)) == settings[name]
        for name in _FLOOR_SETTINGS
    )


def _all_records(plan):
    """Of all rows, whatever their settings; what is no record is told when its row is read."""
    for folder in filter(None, (plan.folder, plan.results)):
        for path in sorted((folder / "rows").glob("*.json")):
            try:
                yield _read(path)
            except InputError:
                continue


def seeds_of(plan: Plan, key: str) -> list[int]:
    """The seeds of which a row has records."""
    found = set()
    begin = f"{key}-seed"
    for folder in (plan.folder, plan.results):
        for path in (folder / "rows").glob("*.json") if folder else ():
            number = path.stem.removeprefix(begin)
            if path.stem.startswith(begin) and number.isdecimal():
                found.add(int(number))
    return sorted(found)


def after(before: Record | None, now: Record, asked: Collection[str], anew: bool) -> Record:
    """What is known of a run after an attempt. Figures are replaced, but never lost.

    Args:
        before: what was known; None: nothing.
        now: of the attempt alone.
        asked: what it was to measure, by the names of --measures, and `FLOORS`.
        anew: whether it trained other weights than those of `before`, whose figures then cannot
            stand beside its own: it replaces them where it has all that they have.
    """
    if before is None or not before.measures:
        return now
    others = {name: why for name, why in before.failed.items() if name in {*MEASURES, FLOORS}}
    failed = {name: why for name, why in others.items() if name not in asked} | now.failed
    kept = dataclasses.replace(before, failed=failed, attempt=now.attempt)
    if anew:
        return now if set(before.measures) <= set(now.measures) else kept
    if not now.evaluation:
        return kept
    if why := _apart(before.evaluation, now.evaluation):
        return dataclasses.replace(kept, failed=failed | {"evaluate": why})
    return dataclasses.replace(
        now,
        measures=list(dict.fromkeys([*before.measures, *now.measures])),
        evaluation=_united(before.evaluation, now.evaluation),
        failed=failed,
        trained=before.trained or before.origin(),
    )


def _apart(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why two evaluations are not of the same weights and images; empty if they are."""
    for name in ("step", "images"):
        first, second = (found.get("protocol", {}).get(name) for found in (before, now))
        if None not in (first, second) and first != second:
            return (
                f"its other figures are of {name} {first!r} and not {second!r}, so that they "
                "cannot stand together; give another --run_dir"
            )
    return ""


def _united(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    both = {**before, **now}
    for name in before.keys() & now.keys():
        if isinstance(before[name], Mapping) and isinstance(now[name], Mapping):
            both[name] = _united(before[name], now[name])
    return both
