"""`Plan`: from the command line to the runs of a table, in their order."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.data import folder_name
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment, all_fields, default_of, known_settings, model_settings
from dim_tf.tables.definitions import TABLES, Row, Table

# What makes other figures of the same experiment.
_BUDGET = (
    "epochs",
    "steps",
    "probe_epochs",
    "probe_seeds",
    "probe_learning_rate",
    "fine_tuning_epochs",
    "fine_tuning_fraction",
    "max_features",
)
# Those of a table, which its runs do not have.
_OF_TABLE = ("table", "rows", "table_seeds", "results")
_FIELDS = all_fields()
# What names files and folders of one machine; no row and no table tells it.
PATHS = tuple(name for name, field in _FIELDS.items() if field.metadata["is_path"])


@dataclass(frozen=True)
class Job:
    """A run of a row with one seed.

    Attributes:
        row: of the table.
        experiment: its settings, with its run folder and all that is measured.
    """

    row: Row
    experiment: Experiment

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def seed(self) -> int:
        return self.experiment.training.seed


@dataclass(frozen=True)
class Plan:
    """What is to be run, and where it goes.

    Attributes:
        key: of the table, as --table has it.
        table: its definition.
        experiment: the command line's settings.
        given: those of them that are not defaults left alone.
        folder: of the table and its runs.
        results: a copy of what is finished; None: none is made.
        jobs: in their order.
        gaps: why a row cannot be run, by its key.
        seeds: of the table.
    """

    key: str
    table: Table
    experiment: Experiment
    given: Mapping[str, Any]
    folder: Path
    results: Path | None
    jobs: list[Job]
    gaps: dict[str, str]
    seeds: list[int]

    @property
    def dataset(self) -> str:
        return self.experiment.data.dataset

    @property
    def name(self) -> str:
        """Of the table's own files."""
        return f"table{self.key}"

    def job(self, row: Row, seed: int) -> Job:
        """The run of any row.

        Raises:
            InputError: its settings do not fit together, or this version does not know them.
        """
        settings = _settings(self.table, row, self.experiment, self.given)
        name = f"{row.key}-seed{seed}"
        run_dir = str(self.folder / "runs" / name)
        return Job(row, Experiment.of(**settings, name=name, run_dir=run_dir, seed=seed))


def make_plan(experiment: Experiment, given: Mapping[str, Any]) -> Plan:
    """The plan that the command line describes.

    Args:
        experiment: its settings.
        given: those of them that it gives itself, without the defaults.

    Raises:
        InputError: no such table, row or seed, a flag that the rows set themselves, a row of --rows
            that cannot be run, or no row that can.
    """
    if not experiment.table.name:
        raise InputError(f"--mode=table needs --table, one of {', '.join(TABLES)}")
    table = TABLES[experiment.table.name]
    _check_given(table, experiment, given)
    seeds = _seeds(experiment.table.seeds)
    of_data = folder_name(experiment.data.dataset, experiment.data.data_dir)
    folder = Path(experiment.run_dir or f"runs/table{experiment.table.name}-{of_data}")
    results = Path(experiment.table.results) / folder.name if experiment.table.results else None
    plan = Plan(experiment.table.name, table, experiment, given, folder, results, [], {}, seeds)
    chosen = _chosen(table, experiment.table.rows, len(seeds))
    for row in table.rows:
        if gap := _gap(plan, row):
            plan.gaps[row.key] = gap
    for index, seed in enumerate(seeds):
        plan.jobs.extend(
            plan.job(row, seed)
            for row, count in chosen
            if index < count and row.key not in plan.gaps
        )
    if not plan.jobs or (
        experiment.table.rows and plan.gaps.keys() & {row.key for row, _ in chosen}
    ):
        key = next(row.key for row, _ in chosen if row.key in plan.gaps)
        raise InputError(f"the row {key} of --table={plan.key} cannot be run: {plan.gaps[key]}")
    plan.jobs[:] = _with_floors_once(plan.jobs)
    return plan


def without_folders(text: str, plan: Plan) -> str:
    """The text with this machine's folders by their flags' names, as it goes into the table.

    The user's home, below which libraries have their default folders, becomes ~.
    """
    folders = {os.path.expanduser("~"): "~"}
    folders |= {plan.experiment.to_dict()[name].rstrip("/"): name.upper() for name in PATHS}
    folders |= {str(plan.folder): "RUN_DIR", str(plan.results or ""): "RESULTS"}
    for folder in sorted(folders, key=len, reverse=True):  # before the one in which it lies
        if "/" in folder and folder != "/":
            text = text.replace(folder, folders[folder])
    return text


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as the command line has them."""
    return [f"--{name}={_flag_value(value)}" for name, value in settings.items()]


def _flag_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def identity(experiment: Experiment) -> dict[str, Any]:
    """The settings on which a run's figures depend."""
    settings = experiment.to_dict()
    budget = {name: settings[name] for name in _BUDGET}
    return {**experiment.hyperparameters, **budget}


def differences(before: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """How a finished row's settings differ from an experiment's, as 'name: theirs -> mine'.

    Args:
        before: what `identity` gave, of this or an earlier version; settings that it lacks had
            their default.
        experiment: the one that is wanted.
    """
    now = identity(experiment)
    unknown = [f"{name}: unknown to this version" for name in before if name not in now]
    return unknown + [
        f"{name}: {theirs!r} -> {mine!r}"
        for name, mine in now.items()
        if mine != (theirs := before.get(name, default_of(name)))
    ]


def _settings(
    table: Table, row: Row, experiment: Experiment, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Of a row's experiment, without its seed and its place."""
    common = {
        k: v for k, v in table.settings_for(experiment.data.dataset).items() if k not in given
    }
    settings = {**given, "dataset": experiment.data.dataset, **common, **row.settings}
    for name in (*_OF_TABLE, "name", "run_dir"):
        settings.pop(name, None)
    known = known_settings(model_settings(settings.get("model", experiment.model.NAME)))
    for name in (*given, *common):  # of other rows' models
        if name not in known and name not in row.settings:
            settings.pop(name, None)
    return settings | {"measures": ",".join(measures(table, experiment, given))}


def measures(table: Table, experiment: Experiment, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The table's, and what --measures names besides."""
    besides = experiment.evaluation.measure_names if "measures" in given else ()
    return tuple(dict.fromkeys([*table.measures, *besides]))


def _gap(plan: Plan, row: Row) -> str:
    """Why the row cannot be run; empty if it can."""
    if lack := row.lacks.get(plan.dataset):
        return lack
    try:
        plan.job(row, plan.seeds[0])
    except InputError as error:
        return str(error)
    return ""


def _with_floors_once(jobs: list[Job]) -> list[Job]:
    """Floors for the first run of each encoder: those of the others would be the same."""
    seen: set[str] = set()
    found = []
    for job in jobs:
        encoder = job.experiment.encoder.name
        experiment = job.experiment.replace(references=encoder not in seen)
        found.append(Job(job.row, experiment))
        seen.add(encoder)
    return found


def _check_given(table: Table, experiment: Experiment, given: Mapping[str, Any]) -> None:
    """Raises InputError where a flag would be overridden or makes no sense for a table."""
    for name, value in given.items():
        theirs = [row.settings[name] for row in table.rows if name in row.settings]
        everyones = len(theirs) == len(table.rows) and all(mine == value for mine in theirs)
        if theirs and not everyones:  # one row's value would leak into those that lack it
            raise InputError(
                f"--{name}={value}: the rows of --table={experiment.table.name} set it themselves; "
                "leave it out, of the flagfile too"
            )
    models = {row.settings.get("model", experiment.model.NAME) for row in table.rows}
    known = set().union(*(known_settings(model_settings(model)) for model in models))
    for name in given:
        if name not in known:
            raise InputError(
                f"--{name} is a setting of a model of which --table={experiment.table.name} has no "
                f"row; its models are {', '.join(sorted(models))}; leave it out"
            )
    for name, instead in {
        "seed": "give --table_seeds",
        "resume": "give another --run_dir to start anew",
        "encoder_path": "a table trains its own encoders",
        "references": "a table has each encoder's floors once",
    }.items():
        if name in given:
            raise InputError(f"--{name} is not for --mode=table; {instead}")
    if experiment.training.strategy == "multi_worker":
        raise InputError(
            "--strategy=multi_worker is not for --mode=table; start the same command on each "
            "machine with a --run_dir that all of them share"
        )
    if (Path(experiment.run_dir) / "experiment.json").exists() and experiment.run_dir:
        raise InputError(f"--run_dir={experiment.run_dir} holds a run; give the table another one")


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = []
    most = _FIELDS["seed"].metadata["maximum"]
    if not seeds or min(seeds) < 0 or max(seeds) > most or len(set(seeds)) < len(seeds):
        raise InputError(
            f"--table_seeds={text}; expected different whole numbers up to {most} with commas "
            "between, as 0,1"
        )
    return seeds


def _chosen(table: Table, text: str, seeds: int) -> list[tuple[Row, int]]:
    """The rows of --rows, each with how many of the seeds it is run."""
    if not text:
        return [(row, seeds) for row in table.rows]
    by_key = {row.key: row for row in table.rows}
    chosen: dict[str, int] = {}
    for entry in text.split(","):
        key, colon, number = entry.strip().partition(":")
        if key not in by_key:
            raise InputError(f"--rows has no {key!r}; expected a list of {', '.join(by_key)}")
        count = int(number) if number.isdecimal() else 0 if colon else seeds
        if not 1 <= count <= seeds or key in chosen:
            raise InputError(
                f"--rows={entry.strip()}: expected each row once, as NAME or as NAME:N with N from "
                f"1 to {seeds}, as many as --table_seeds has; give more seeds or a lower N"
            )
        chosen[key] = count
    return [(by_key[key], count) for key, count in chosen.items()]
