"""Settings as command lines."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dim_tf.experiment import Experiment, default_of
from dim_tf.tables.plan import PATH_SETTINGS, Job


def to_flags(settings: Mapping[str, Any]) -> list[str]:
    """Flags that give these settings, one flag each."""
    return [f"--{name}={_flag_value(value)}" for name, value in settings.items()]


def _flag_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def experiment_flags(experiment: Experiment, measures: Sequence[str] = ()) -> list[str]:
    """The flags of an experiment: each setting that differs from its default.

    Args:
        experiment: The experiment.
        measures: Names that replace the experiment's --measures, unless empty.
    """
    settings = experiment.to_dict()
    if measures:
        settings["measures"] = ",".join(measures)
    return to_flags({name: v for name, v in settings.items() if v != default_of(name)})


def job_command(job: Job, measures: Sequence[str] = ()) -> str:
    """The command that reproduces a job by itself, without this machine's paths.

    Args:
        job: The run of a row.
        measures: Names that replace the job's --measures, unless empty.
    """
    flags = experiment_flags(job.experiment, measures)
    flags = [f for f in flags if f[2:].partition("=")[0] not in PATH_SETTINGS]
    return shlex.join(["python", "-m", "dim_tf.main", "--mode=train,evaluate", *flags])
