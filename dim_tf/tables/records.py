"""`Record`: the outcome of a row's run, one JSON file each."""

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dim_tf.evaluation.report import results
from dim_tf.evaluation.report.formatting import is_number
from dim_tf.experiment import Experiment, default_of
from dim_tf.registry import MEASURES, REFERENCE_MEASURES
from dim_tf.system.errors import InputError, one_line
from dim_tf.system.files import atomic_write_text, read_text
from dim_tf.system.json_files import parse_json_object
from dim_tf.tables.plan import Job, Plan, differences

REFERENCES = "references"  # in `Record.failed`: a measure of a reference failed
# Settings on which the metrics of references depend.
_REFERENCE_SETTINGS = (
    "dataset",
    "image_size",
    "validation_fraction",
    "encoder",
    "encoder_weights",
    "init_from",
    "latent_dim",
    "max_features",
    "precision",
    "probe",
    "probe_epochs",
    "probe_learning_rate",
)


@dataclass(frozen=True)
class Record:
    """A run that finished or failed.

    Attributes:
        row: Key of the row.
        seed: Seed of the run.
        settings: Settings on which the metrics depend (`result_settings`).
        measures: Finished measures, by their names in --measures.
        evaluation: Content of evaluation.json.
        failed: Reasons, by the name of the stage or measure that failed, or `REFERENCES`.
        cost: Seconds of each stage, and "images_per_second" of training.
        versions: Versions of the software in the last attempt.
        machine: Machine of the last attempt.
        date: When the last attempt ended.
        command: The command that reproduces the metrics by itself.
        attempt: Unique ID of the last attempt.
        trained: "commit", "machine" and "date" of the first metrics of these weights, if others
            were added later.
        chosen: What training chose: automatic settings, and the steps of --minutes.
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
    chosen: dict[str, Any] = field(default_factory=dict)

    def covers(self, job: Job) -> bool:
        """Whether all of the job's measures are finished."""
        return set(job.experiment.evaluation.measure_names) <= set(self.measures)

    def failures(self, job: Job) -> dict[str, str]:
        """Those entries of `failed` that concern the job: its stages and what it measures."""
        unrelated = {*MEASURES, REFERENCES} - requested(job)
        return {name: reason for name, reason in self.failed.items() if name not in unrelated}

    def provenance(self) -> dict[str, str]:
        """The content of `trained` for this record's metrics."""
        commit = self.versions.get("commit", "")
        return {"commit": commit, "machine": self.machine, "date": self.date}

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)
        atomic_write_text(path, text + "\n")


def requested(job: Job) -> set[str]:
    """A job's measures, by their names in --measures, and `REFERENCES` if it measures those."""
    return {
        *job.experiment.evaluation.measure_names,
        *([REFERENCES] if job.experiment.evaluation.references else []),
    }


def record_path(folder: Path, name: str) -> Path:
    """Path of a run's record in the folder of the table, or in that of its results."""
    return folder / "rows" / f"{name}.json"


def read(plan: Plan, job: Job) -> Record | None:
    """The run's record from the folder of the table or else of its results; None if absent.

    Raises:
        InputError: Its metrics have other settings, or it is not a valid record.
    """
    for folder in (plan.folder, plan.results_folder):
        if folder is None or not record_path(folder, job.name).exists():
            continue
        path = record_path(folder, job.name)
        record = _read(path)
        if changes := differences(record.settings, job.experiment):
            if not record.measures:
                continue  # it failed, so that no metrics would be mixed
            raise InputError(
                f"{path} has other settings ({'; '.join(changes)}); give another --run_dir"
            )
        return record
    return None


def _read(path: Path) -> Record:
    """The record in a file.

    Raises:
        InputError: It cannot be read, or is not a valid record.
    """
    try:
        content = parse_json_object(read_text(path))
        _check(content, path)
        return Record(**content)
    except (OSError, ValueError, TypeError, InputError) as error:
        reason = error.strerror if isinstance(error, OSError) else one_line(error, 300)
        raise InputError(
            f"{path} is not a valid record ({reason}); remove it, or give another --run_dir"
        ) from error


def _check(content: Mapping[str, Any], path: Path) -> None:
    """Raises ValueError or InputError if an entry is not as written by `Record.write`."""
    for name, is_valid in _ENTRIES.items():
        if name in content and not is_valid(content[name]):
            raise ValueError(f"{name!r} is not as this version writes it")
    evaluation = content.get("evaluation", {})
    results.check(evaluation, path)
    if content.get("measures") and not evaluation:
        raise ValueError("it has measures but no evaluation")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_dict_of(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_valid, value.values()))


_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "seed": lambda value: type(value) is int,
    "settings": _is_dict_of(lambda value: isinstance(value, str | int | float | bool)),
    "chosen": _is_dict_of(lambda value: isinstance(value, str | int | float)),
    "measures": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    # Metrics by endpoint, and everything that `results.check` examines.
    "evaluation": _is_dict_of(lambda value: value is None or isinstance(value, dict)),
    "failed": _is_dict_of(_is_text),
    "cost": _is_dict_of(lambda value: is_number(value) and value >= 0),
    "versions": _is_dict_of(_is_text),
    "trained": lambda value: (
        value == {}
        or (_is_dict_of(_is_text)(value) and value.keys() >= {"commit", "machine", "date"})
    ),
    **dict.fromkeys(("row", "machine", "date", "command", "attempt"), _is_text),
}


def without_known_references(plan: Plan) -> list[Job]:
    """The plan's jobs, without references that are already measured, or that no measure has."""
    records = list(_all_records(plan))
    shown = {column.metric for column in plan.columns if column.measure in REFERENCE_MEASURES}
    jobs = []
    for job in plan.jobs:
        experiment = job.experiment
        needed = {
            name for name in experiment.evaluation.measure_names if name in REFERENCE_MEASURES
        }
        known = not needed or any(
            (record.row, record.seed) != (job.row.key, job.seed)
            and _has_references_of(record, experiment)
            and shown <= record.evaluation["references"].get("random_weights", {}).keys()
            and needed <= set(record.measures)
            for record in records
        )
        references = experiment.evaluation.references and not known
        jobs.append(dataclasses.replace(job, experiment=experiment.replace(references=references)))
    return jobs


def records_with_references(plan: Plan) -> list[Record]:
    """The records with references of the table's encoders, including rows of other tables."""
    rows = [row for row in plan.table.rows if row.key not in plan.unavailable]
    experiments = [plan.job(row, plan.seeds[0]).experiment for row in rows]
    return [
        record
        for record in _all_records(plan)
        if any(_has_references_of(record, experiment) for experiment in experiments)
    ]


def _has_references_of(record: Record, experiment: Experiment) -> bool:
    settings = experiment.to_dict()
    return bool(record.evaluation.get("references")) and all(
        record.settings.get(name, default_of(name)) == settings[name]
        for name in _REFERENCE_SETTINGS
    )


def _all_records(plan: Plan) -> Iterator[Record]:
    """Records of all rows and settings; invalid ones, which `read` reports, are skipped here."""
    for folder in filter(None, (plan.folder, plan.results_folder)):
        for path in sorted((folder / "rows").glob("*.json")):
            try:
                yield _read(path)
            except InputError:
                continue


def recorded_seeds(plan: Plan, key: str) -> list[int]:
    """The seeds of a row's records."""
    seeds = set()
    prefix = f"{key}-seed"
    for folder in (plan.folder, plan.results_folder):
        for path in (folder / "rows").glob("*.json") if folder else ():
            number = path.stem.removeprefix(prefix)
            if path.stem.startswith(prefix) and number.isdecimal():
                seeds.add(int(number))
    return sorted(seeds)


def merge(
    before: Record | None, now: Record, requested: Collection[str], retrained: bool
) -> Record:
    """The record of a run after an attempt. Metrics are replaced, but never lost.

    Args:
        before: Record of the earlier attempts; None if there were none.
        now: Record of the last attempt only.
        requested: What it was to measure, by names in --measures, and `REFERENCES`.
        retrained: Whether it trained other weights than those of `before`. Metrics of both are
            never mixed: the new ones replace the old ones if none of the old ones is missing.
    """
    if before is None or not before.measures:
        return now
    earlier = {n: why for n, why in before.failed.items() if n in {*MEASURES, REFERENCES}}
    failed = {n: why for n, why in earlier.items() if n not in requested} | now.failed
    kept = dataclasses.replace(before, failed=failed, attempt=now.attempt)
    if retrained:
        return now if set(before.measures) <= set(now.measures) else kept
    if not now.evaluation:
        return kept
    if mismatch := _mismatch(before.evaluation, now.evaluation):
        return dataclasses.replace(kept, failed=failed | {"evaluate": mismatch})
    return dataclasses.replace(
        now,
        measures=list(dict.fromkeys([*before.measures, *now.measures])),
        evaluation=_merge_nested(before.evaluation, now.evaluation),
        failed=failed,
        trained=before.trained or before.provenance(),
    )


def _mismatch(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why two evaluations have different weights or images; empty if they have the same."""
    for name in ("step", "images"):
        old, new = (evaluation.get("protocol", {}).get(name) for evaluation in (before, now))
        if None not in (old, new) and old != new:
            return (
                f"its earlier metrics are of {name} {old!r} and not {new!r}, so that they cannot "
                "be combined; give another --run_dir"
            )
    return ""


def _merge_nested(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**before, **now}
    for name in before.keys() & now.keys():
        if isinstance(before[name], Mapping) and isinstance(now[name], Mapping):
            merged[name] = _merge_nested(before[name], now[name])
    return merged
