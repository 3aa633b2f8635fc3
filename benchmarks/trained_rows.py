"""Rows of a benchmark that each train an encoder: a process, a run folder and a file for each.

Stopped at any point, the same command goes on where it was: a begun row from its checkpoint, a
finished one not at all. Several processes may run the same command, each does other rows.
"""

import itertools
import json
import multiprocessing
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf import file_lock
from dim_tf.files import replace_text

MEASURES = ("conv", "fc", "global", "knn")
TRACING = 10  # times the median: no step takes as long
TITLES = ("MLP probe of conv", "MLP probe of fc", "MLP probe of global", "kNN of global")


def figures(settings: Mapping[str, Any], probe_seeds: int) -> dict[str, float]:
    """Trains an experiment and measures its encoder.

    Args:
        settings: of the `Experiment`.
        probe_seeds: MLP probes to average.

    Returns:
        Steps and seconds of training, the shares that the MLP probe of the authors' recipe tells
        right by conv, fc and global, and that the nearest neighbours of global do ("knn").
    """
    from dim_tf import data, metrics_file
    from dim_tf.data import holdout
    from dim_tf.evaluation import excerpt, representation
    from dim_tf.evaluation.neighbours import NearestNeighbours
    from dim_tf.evaluation.probes import Probe
    from dim_tf.experiment import Experiment
    from dim_tf.training import loop
    from dim_tf.training.budget import last_step
    from dim_tf.training.model import load_trained

    experiment = Experiment.of(**settings)
    splits = holdout.of(
        data.load(experiment.data.dataset, experiment.data.request),
        experiment.data.validation_fraction,
    )
    loop.train(experiment, splits)
    model, step = load_trained(experiment, splits)
    if step != (last := last_step(experiment, splits)):
        raise SystemExit(f"{experiment.run_path} is at step {step}, not {last}; give another --out")
    features = representation.of_encoder(model.encoder, excerpt.of(splits))
    # Of all steps, those before an interruption too.
    lines = metrics_file.read(experiment.run_path / "metrics.jsonl", step)
    seconds = seconds_of(lines, experiment.training.batch_size)
    found = {"steps": step, "seconds": round(seconds)}
    for result in Probe(features, True, 10, probe_seeds).run():
        found[result.endpoint] = round(result.value, 5)
    for result in NearestNeighbours(features).run():
        if result.endpoint == "global":
            found["knn"] = round(result.value, 5)
    return found


def seconds_of(lines: Sequence[Mapping[str, float]], batch_size: int) -> float:
    """Of training, without what is no step of it.

    The first step of each process traces its graph, which takes as long as a hundred steps; it
    counts as the median step does. Where not every step has a line, one is for those before it too.

    Args:
        lines: of metrics.jsonl, from the first step on.
        batch_size: images in a step.
    """
    steps = [batch_size / line["images_per_second"] for line in lines]
    median = statistics.median(steps)
    ends = [line["step"] for line in lines]
    counts = [end - start for start, end in itertools.pairwise([0, *ends])]
    typical = (median if step > TRACING * median else step for step in steps)
    return sum(count * step for count, step in zip(counts, typical, strict=True))


def run(rows: Iterable["Row"], out: Path, data_dir: str) -> bool:
    """Does rows of one run folder, where nobody is at it; returns whether none failed.

    Args:
        rows: in the order in which the run reaches them.
        out: of all rows.
        data_dir: of the data set.
    """
    rows = list(rows)
    (folder,) = {row.folder for row in rows}
    lock = out / "rows" / f".{folder}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = file_lock.take(lock)
    except BlockingIOError:
        return True
    try:
        # Not past one that failed, which could then never be measured.
        return all(row.read(out) is not None or row.do(out, data_dir) for row in rows)
    finally:
        lock.unlink()
        os.close(held)


@dataclass(frozen=True)
class Row:
    """A training and its figures.

    Attributes:
        name: of OUT/rows/NAME.json, its figures.
        folder: of its run in OUT, which goes on from row to row.
        settings: of its `Experiment`, without places.
        probe_seeds: MLP probes to average.
    """

    name: str
    folder: str
    settings: Mapping[str, Any]
    probe_seeds: int = 1

    def read(self, out: Path) -> dict[str, float] | None:
        """Its figures; None where it is not finished.

        Raises:
            SystemExit: those there are of other settings.
        """
        path = self._path(out)
        if not path.exists():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] != dict(self.settings):
            raise SystemExit(f"{path} is of other settings; give another --out")
        return found["figures"]

    def _path(self, out):
        return out / "rows" / f"{self.name}.json"

    def do(self, out: Path, data_dir: str) -> bool:
        """Trains and measures it; returns whether it did not fail."""
        # A fresh process has no graphs of the row before; spawned: TensorFlow cannot be forked.
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
        places = {"name": self.folder, "run_dir": str(out / self.folder), "data_dir": data_dir}
        found = figures({**places, **self.settings}, self.probe_seeds)
        told = {"settings": dict(self.settings), "figures": found}
        replace_text(self._path(out), json.dumps(told) + "\n")
