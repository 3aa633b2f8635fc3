"""Files in a row's run folder: its evaluation, the seconds of its stages, a retraining marker."""

import json
import statistics
import time
from pathlib import Path
from typing import Any

from dim_tf.evaluation.report import results
from dim_tf.evaluation.report.formatting import is_number
from dim_tf.experiment import Experiment
from dim_tf.registry import MEASURES
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, read_text
from dim_tf.system.json_files import read_json, read_json_with_checksum
from dim_tf.tables.records import REFERENCES
from dim_tf.training import metrics_file


class StageSeconds:
    """Seconds of each stage over all attempts, in a file that outlives a killed process."""

    def __init__(self, path: Path):
        self._path = path
        self._stage = ""
        self._before = 0.0
        self._began = time.monotonic()

    def read(self) -> dict[str, float]:
        """The seconds by stage.

        Raises:
            InputError: The file is damaged.
        """
        if not self._path.exists():
            return {}
        remedy = "remove it, which forgets what the stages took"
        seconds = read_json(self._path, remedy)
        if not all(is_number(value) and value >= 0 for value in seconds.values()):
            raise InputError(f"{self._path} does not hold seconds; {remedy}")
        return seconds

    def begin(self, stage: str) -> None:
        """Starts the clock of a stage."""
        self._stage = stage
        self._before = self.read().get(stage, 0.0)
        self._began = time.monotonic()

    def write(self) -> None:
        """Writes the stage's seconds so far."""
        if self._path.parent.is_dir():  # a run that did not begin has no folder
            seconds = self._before + time.monotonic() - self._began
            now = {**self.read(), self._stage: round(seconds, 1)}
            atomic_write_text(self._path, json.dumps(now) + "\n")


class RetrainingMarker:
    """A file that says that the row's record has metrics of other weights than the run.

    It stays through all attempts until the record's metrics are those of the new weights.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._path = folder / "retrained.txt"

    def exists(self) -> bool:
        return self._path.exists()

    def create(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic_write_text(self._path, "The row's record has metrics of other weights.\n")

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


def has_weights(folder: Path) -> bool:
    """Whether a run folder has checkpoints."""
    return (folder / "checkpoints").is_dir()


def read_evaluation(path: Path) -> dict[str, Any]:
    """The content of an evaluation.json.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
        InputError: An entry is not as this version writes it.
    """
    evaluation = read_json_with_checksum(path)
    results.check(evaluation, path)
    steps = [evaluation.get("protocol", {}).get(name) for name in ("step", "budget_steps")]
    if any(type(step) is not int for step in steps):
        raise ValueError("it has no step")
    return evaluation


def budget_mismatch(evaluation: dict[str, Any]) -> str:
    """Why the weights are not those of the row's budget; empty if they are, or if there are none.

    Training resumes from the checkpoint in a folder, even from one beyond the last step.
    """
    if not evaluation:
        return ""
    step, budget = (evaluation["protocol"][name] for name in ("step", "budget_steps"))
    if step == budget:
        return ""
    return (
        f"its checkpoint is from step {step}, and training is to end at step {budget}; give "
        "the budget that it was begun with, or another --run_dir"
    )


def failed_measures(evaluation: dict[str, Any]) -> dict[str, str]:
    """Reasons, by names in --measures; those of all references as one, by `REFERENCES`."""
    prefix = "failed: "
    reasons = {
        name: str(text).removeprefix(prefix)
        for name, text in evaluation.get("protocol", {}).items()
        if str(text).startswith(prefix)
    }
    of_encoder = {name: reason for name, reason in reasons.items() if name in MEASURES}
    of_references = [f"{name}: {why}" for name, why in reasons.items() if name not in MEASURES]
    return of_encoder | ({REFERENCES: "; ".join(of_references)} if of_references else {})


def chosen_settings(folder: Path) -> dict[str, Any]:
    """What a run's training chose, by flag: automatic settings, and the steps of --minutes.

    Raises:
        InputError: experiment.json is damaged.
        OSError: It cannot be read.
    """
    path = folder / "experiment.json"
    if not path.exists():
        return {}
    experiment = Experiment.from_json(read_text(path))
    names = [*experiment.automatic, *(["steps"] if experiment.training.minutes else [])]
    return {name: experiment.training.values()[name] for name in names}


def training_speed(folder: Path) -> dict[str, float]:
    """Median of "images_per_second" in a run's metrics; empty if there is none."""
    lines = metrics_file.read(folder / "metrics.jsonl")
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    return {"images_per_second": round(statistics.median(speeds), 1)} if speeds else {}
