"""`Plan`: the runs that a command line asks for, in order."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf import recipes, registry
from dim_tf.data import folder_name
from dim_tf.experiment import (
    Experiment,
    all_fields,
    default_of,
    known_settings,
    model_settings,
)
from dim_tf.models.fitted import FittedModel
from dim_tf.settings.config_field import checked
from dim_tf.system.errors import InputError
from dim_tf.tables.definitions import TABLES, Column, Row, Table

# Settings on which results depend besides the hyperparameters.
_BUDGET_SETTINGS = (
    "epochs",
    "minutes",
    "steps",
    "probe",
    "probe_epochs",
    "probe_seeds",
    "probe_learning_rate",
    "fine_tuning_epochs",
    "fine_tuning_fraction",
    "max_features",
)
# Settings of a table, which its runs do not have.
_TABLE_SETTINGS = ("table", "rows", "table_seeds", "results")
_FIELDS = all_fields()
# Paths on this machine, which no record and no table contains.
PATH_SETTINGS = tuple(name for name, field in _FIELDS.items() if field.metadata["is_path"])


@dataclass(frozen=True)
class Job:
    """A run of a row with one seed.

    Attributes:
        row: Row of the table.
        experiment: The settings, with the run folder and the measures.
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
    """What to run, and where its files go.

    Attributes:
        key: Value of --table.
        table: The definition of the table.
        experiment: The command line's settings.
        explicit_settings: The settings given on the command line, without the defaults.
        folder: Folder of the table and its runs.
        results_folder: Folder for copies of finished rows; None: no copies.
        jobs: The runs, in order.
        unavailable: Why a row cannot be run, by its key.
        seeds: Values of --table_seeds.
    """

    key: str
    table: Table
    experiment: Experiment
    explicit_settings: Mapping[str, Any]
    folder: Path
    results_folder: Path | None
    jobs: list[Job]
    unavailable: dict[str, str]
    seeds: list[int]

    @property
    def dataset(self) -> str:
        return self.experiment.data.dataset

    @property
    def columns(self) -> list[Column]:
        """The table's columns for the data set."""
        return self.table.columns_for(self.dataset)

    @property
    def file_stem(self) -> str:
        """Name of the table's files, without their suffix: table1, table_cited."""
        return f"table{self.key}" if self.key.isdigit() else f"table_{self.key}"

    def job(self, row: Row, seed: int) -> Job:
        """The run of any row with one seed.

        Raises:
            InputError: Its settings conflict, or this version does not know them.
        """
        settings = _row_settings(self.table, row, self.experiment, self.explicit_settings)
        name = f"{row.key}-seed{seed}"
        run_dir = str(self.folder / "runs" / name)
        return Job(row, Experiment.of(**settings, name=name, run_dir=run_dir, seed=seed))


def make_plan(experiment: Experiment, explicit_settings: Mapping[str, Any]) -> Plan:
    """The plan of a command line.

    Args:
        experiment: The command line's settings.
        explicit_settings: The settings given on it, without the defaults.

    Raises:
        InputError: A table, row or seed is unknown, a flag is set by the rows themselves, a row in
            --rows cannot be run, or no row can.
    """
    if not experiment.table.name:
        raise InputError(f"--mode=table needs --table, one of {', '.join(TABLES)}")
    table = TABLES[experiment.table.name]
    _check_explicit_settings(table, experiment, explicit_settings)
    seeds = _parse_seeds(experiment.table.seeds)
    data_name = folder_name(experiment.data.dataset, experiment.data.data_dir)
    folder = Path(experiment.run_dir or f"runs/table{experiment.table.name}-{data_name}")
    plan = Plan(
        key=experiment.table.name,
        table=table,
        experiment=experiment,
        explicit_settings=explicit_settings,
        folder=folder,
        results_folder=Path(experiment.table.results) / folder.name
        if experiment.table.results
        else None,
        jobs=[],
        unavailable={},
        seeds=seeds,
    )
    selection = _parse_rows(table, experiment.table.rows, len(seeds))
    for row in table.rows:
        if reason := _unavailable_reason(plan, row):
            plan.unavailable[row.key] = reason
    for index, seed in enumerate(seeds):
        plan.jobs.extend(
            plan.job(row, seed)
            for row, count in selection
            if index < count and row.key not in plan.unavailable
        )
    missing = [row.key for row, _ in selection if row.key in plan.unavailable]
    if missing and (experiment.table.rows or not plan.jobs):
        reason = plan.unavailable[missing[0]]
        raise InputError(f"the row {missing[0]} of --table={plan.key} cannot be run: {reason}")
    plan.jobs[:] = _measure_references_once(plan.jobs)
    return plan


def redact_paths(text: str, plan: Plan) -> str:
    """Replaces this machine's folders by the names of their flags, in texts that a table contains.

    The user's home, which contains the default folders of libraries, becomes ~.
    """
    folders = {os.path.expanduser("~"): "~"}
    settings = plan.experiment.to_dict()
    folders |= {settings[name].rstrip("/"): name.upper() for name in PATH_SETTINGS}
    folders |= {str(plan.folder): "RUN_DIR", str(plan.results_folder or ""): "RESULTS"}
    for folder in sorted(folders, key=len, reverse=True):  # inner folders first
        if "/" in folder and folder != "/":
            text = text.replace(folder, folders[folder])
    return text


def result_settings(experiment: Experiment) -> dict[str, Any]:
    """The settings on which the metrics of a run depend."""
    settings = experiment.to_dict()
    budget = {name: settings[name] for name in _BUDGET_SETTINGS}
    return {name: scalar(value) for name, value in (experiment.hyperparameters | budget).items()}


def scalar(value: Any) -> str | int | float | bool:
    """A setting's value in the form of records: a list of numbers is text."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def differences(recorded: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """How a finished row's settings differ from an experiment's, as 'name: recorded -> wanted'.

    Args:
        recorded: `result_settings` of this or an earlier version; missing settings have their
            default.
        experiment: The wanted settings.
    """
    wanted = result_settings(experiment)
    unknown = [f"{name}: unknown to this version" for name in recorded if name not in wanted]
    return unknown + [
        f"{name}: {old!r} -> {new!r}"
        for name, new in wanted.items()
        if new != (old := recorded.get(name, scalar(default_of(name))))
    ]


def _row_settings(
    table: Table, row: Row, experiment: Experiment, explicit: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a row's runs, without seed and folder."""
    common = {
        k: v for k, v in table.settings_for(experiment.data.dataset).items() if k not in explicit
    }
    settings = {**explicit, "dataset": experiment.data.dataset, **common, **row.settings}
    for name in (*_TABLE_SETTINGS, "name", "run_dir"):
        settings.pop(name, None)
    model = model_settings(settings.get("model", experiment.model.NAME))
    used = known_settings(model) - set(model.UNUSED)
    for name in (*explicit, *common):  # of other rows' models, or of training steps
        if name not in used and name not in row.settings:
            settings.pop(name, None)
    measures = ",".join(_measure_names(table, experiment, explicit))
    return settings | {"measures": measures, "recipe": recipes.PAPER}


def _measure_names(
    table: Table, experiment: Experiment, explicit: Mapping[str, Any]
) -> tuple[str, ...]:
    """The measures of the table, and those that --measures adds."""
    added = experiment.evaluation.measure_names if "measures" in explicit else ()
    return tuple(dict.fromkeys([*table.measures_for(experiment.data.dataset), *added]))


def _unavailable_reason(plan: Plan, row: Row) -> str:
    """Why the row cannot be run; empty if it can."""
    if reason := row.unavailable.get(plan.dataset):
        return reason
    try:
        plan.job(row, plan.seeds[0])
    except InputError as error:
        return str(error)
    return ""


def _encoder_of(experiment: Experiment) -> str:
    """The encoder, or the model that has its own; "" means the one for the images' size."""
    model = experiment.model.NAME
    is_own = isinstance(experiment.model, FittedModel) or model in registry.FLOWS
    return model if is_own else experiment.encoder.name


def _measure_references_once(jobs: list[Job]) -> list[Job]:
    """Lets each encoder's first job measure the references; the other jobs' would be the same."""
    encoders: set[str] = set()
    once = []
    for job in jobs:
        encoder = _encoder_of(job.experiment)
        experiment = job.experiment.replace(references=encoder not in encoders)
        once.append(Job(job.row, experiment))
        encoders.add(encoder)
    return once


def _check_explicit_settings(
    table: Table, experiment: Experiment, explicit: Mapping[str, Any]
) -> None:
    """Raises InputError if a flag is wrong, would be overridden or makes no sense for a table."""
    for name, value in explicit.items():
        if name in _FIELDS:  # of another row's model, too
            checked(f"--{name}", _FIELDS[name], value)
        row_values = [row.settings[name] for row in table.rows if name in row.settings]
        shared = len(row_values) == len(table.rows) and all(v == value for v in row_values)
        if row_values and not shared:  # the flag would leak into the rows that do not set it
            raise InputError(
                f"--{name}={value}: the rows of --table={experiment.table.name} set it themselves; "
                "leave it out, also in the flagfile"
            )
    models = {row.settings.get("model", experiment.model.NAME) for row in table.rows}
    known = set().union(*(known_settings(model_settings(model)) for model in models))
    for name in explicit:
        if name not in known:
            raise InputError(
                f"--{name} is a setting of a model of which --table={experiment.table.name} has no "
                f"row; its models are {', '.join(sorted(models))}; leave it out"
            )
    for name, remedy in {
        "seed": "give --table_seeds",
        "recipe": "its rows have the settings' own defaults",
        "resume": "give another --run_dir to start again",
        "encoder_path": "a table trains its own encoders",
        "references": "a table measures each encoder's references once",
        "reference": "evaluate a run of the table with it",
    }.items():
        if name in explicit:
            raise InputError(f"--{name} is not for --mode=table; {remedy}")
    if experiment.training.strategy == "multi_worker":
        raise InputError(
            "--strategy=multi_worker is not for --mode=table; start the same command on each "
            "machine with a --run_dir that all of them share"
        )
    if (Path(experiment.run_dir) / "experiment.json").exists() and experiment.run_dir:
        raise InputError(f"--run_dir={experiment.run_dir} holds a run; give another folder")


def _parse_seeds(text: str) -> list[int]:
    try:
        seeds = [int(seed) for seed in text.split(",")]
    except ValueError:
        seeds = []
    maximum = _FIELDS["seed"].metadata["maximum"]
    if not seeds or min(seeds) < 0 or max(seeds) > maximum or len(set(seeds)) < len(seeds):
        raise InputError(
            f"--table_seeds={text}; expected different whole numbers up to {maximum} with commas "
            "between, such as 0,1"
        )
    return seeds


def _parse_rows(table: Table, text: str, seeds: int) -> list[tuple[Row, int]]:
    """The rows in --rows, each with its number of seeds."""
    if not text:
        return [(row, seeds) for row in table.rows]
    by_key = {row.key: row for row in table.rows}
    counts: dict[str, int] = {}
    for entry in text.split(","):
        key, colon, number = entry.strip().partition(":")
        if key not in by_key:
            raise InputError(f"--rows has no {key!r}; expected a list of {', '.join(by_key)}")
        count = int(number) if number.isdecimal() else 0 if colon else seeds
        if not 1 <= count <= seeds or key in counts:
            raise InputError(
                f"--rows={entry.strip()}: expected each row once, as NAME or as NAME:N with N from "
                f"1 to {seeds}, as many as --table_seeds has; give more seeds or a lower N"
            )
        counts[key] = count
    return [(by_key[key], count) for key, count in counts.items()]
