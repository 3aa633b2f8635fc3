"""Rows of a benchmark that each train an encoder in a process, with a run folder and a JSON file.

The same command resumes after an interruption: a finished row is not trained again, and an
unfinished one resumes from its checkpoint. Several processes may run the same command and share the
rows.
"""

import contextlib
import itertools
import json
import multiprocessing
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.system.files import atomic_write_text
from dim_tf.system.locks import locked_file

METRICS = ("conv", "fc", "global", "knn")
TRACING = 10  # a first step that takes this many times the median was traced
TITLES = ("MLP probe of conv", "MLP probe of fc", "MLP probe of global", "kNN of global")


def train_and_measure(settings: Mapping[str, Any], probe_seeds: int) -> dict[str, float]:
    """Trains an experiment and measures its encoder.

    Args:
        settings: Of the `Experiment`.
        probe_seeds: Number of MLP probes to average.

    Returns:
        Steps and seconds of training, the accuracies of the MLP probe (the authors' recipe) on
        conv, fc and global, and of the nearest neighbours by global ("knn").
    """
    from dim_tf import data
    from dim_tf.data import validation_split
    from dim_tf.evaluation import representation
    from dim_tf.evaluation.evaluation_data import EvaluationData
    from dim_tf.evaluation.measures.knn import NearestNeighbours
    from dim_tf.evaluation.measures.probes import Probe
    from dim_tf.experiment import Experiment
    from dim_tf.training import loop, metrics_file
    from dim_tf.training.model import load_trained
    from dim_tf.training.schedule import last_step

    experiment = Experiment.of(**settings)
    splits = data.load(experiment.data.dataset, experiment.data.request)
    splits = validation_split.hold_out(splits, experiment.data.validation_fraction)
    loop.train(experiment, splits)
    model, step = load_trained(experiment, splits)
    if step != (last := last_step(experiment, splits)):
        raise SystemExit(f"{experiment.run_path} is at step {step}, not {last}; give another --out")
    features = representation.from_encoder(model.encoder, EvaluationData.from_splits(splits))
    # Including the steps before an interruption.
    lines = metrics_file.read(experiment.run_path / "metrics.jsonl", step)
    seconds = seconds_of(lines, experiment.training.batch_size)
    metrics = {"steps": step, "seconds": round(seconds)}
    for result in Probe(features, True, 10, probe_seeds).run():
        metrics[result.endpoint] = round(result.value, 5)
    for result in NearestNeighbours(features).run():
        if result.endpoint == "global":
            metrics["knn"] = round(result.value, 5)
    return metrics


def seconds_of(lines: Sequence[Mapping[str, float]], batch_size: int) -> float:
    """Seconds of the training steps, without tracing.

    The first step of each process traces its graph, which takes as long as a hundred steps; it
    counts as a median step. If not every step has a line, a line also stands for those before it.

    Args:
        lines: Of metrics.jsonl, from the first step on.
        batch_size: Images per step.
    """
    steps = [batch_size / line["images_per_second"] for line in lines]
    median = statistics.median(steps)
    ends = [line["step"] for line in lines]
    counts = [end - start for start, end in itertools.pairwise([0, *ends])]
    typical = (median if step > TRACING * median else step for step in steps)
    return sum(count * step for count, step in zip(counts, typical, strict=True))


def run_rows(rows: Iterable["Row"], out: Path, data_dir: str) -> bool:
    """Runs the rows of one run folder, unless another process does; returns whether none failed.

    Args:
        rows: In the order in which the run reaches them.
        out: Folder of all rows.
        data_dir: Of the data set.
    """
    rows = list(rows)
    (folder,) = {row.folder for row in rows}
    lock = out / "rows" / f".{folder}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked_file(lock))
        except BlockingIOError:
            return True
        stack.callback(lock.unlink)
        # A failed row ends the loop: once the run is past it, it could never be measured.
        return all(row.read(out) is not None or row.run(out, data_dir) for row in rows)


@dataclass(frozen=True)
class Row:
    """A training and its metrics.

    Attributes:
        name: Of OUT/rows/NAME.json, which has its metrics.
        folder: Of its run in OUT, which is continued from row to row.
        settings: Of its `Experiment`, without paths.
        probe_seeds: Number of MLP probes to average.
    """

    name: str
    folder: str
    settings: Mapping[str, Any]
    probe_seeds: int = 1

    def read(self, out: Path) -> dict[str, float] | None:
        """The row's metrics; None if it is not finished.

        Raises:
            SystemExit: its file has other settings.
        """
        path = self._path(out)
        if not path.exists():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["settings"] != dict(self.settings):
            raise SystemExit(f"{path} has other settings; give another --out")
        return content["metrics"]

    def _path(self, out):
        return out / "rows" / f"{self.name}.json"

    def run(self, out: Path, data_dir: str) -> bool:
        """Trains and measures the row; returns whether that succeeded."""
        # A new process has no graphs of the previous row; TensorFlow cannot be forked.
        target = multiprocessing.get_context("spawn").Process(
            target=self._write, args=(out, data_dir)
        )
        target.start()
        target.join()
        if target.exitcode:
            print(f"{self.name}: failed with status {target.exitcode}", flush=True)
            return False
        print(self.name, self.read(out), flush=True)
        return True

    def _write(self, out, data_dir):
        paths = {"name": self.folder, "run_dir": str(out / self.folder), "data_dir": data_dir}
        metrics = train_and_measure({**paths, **self.settings}, self.probe_seeds)
        content = {"settings": dict(self.settings), "metrics": metrics}
        atomic_write_text(self._path(out), json.dumps(content) + "\n")
