r"""The time from the command to the first training step, and its parts.

    python benchmarks/startup.py
    python benchmarks/startup.py --flagfile=flags/cifar10.cfg --data_dir=$TFDS_DATA_DIR
    python benchmarks/startup.py --imports

Runs `python -m dim_tf.main --mode=train` in separate processes, with all flags given here, each in
a new run folder. Prints one table: the whole, which is the time until an unmodified process has
written its first line of metrics.jsonl; and the parts, which another, instrumented process reports
and which add up to its own whole. The two take turns; each value is the median of --repetitions.
The data's files are in the system's cache, because a first process that is not counted has read
them.

--imports prints the imported packages instead, by the time that their own modules take (python -X
importtime, which makes imports slower).
"""

import argparse
import builtins
import collections
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from interleaved import in_turns, load, medians

LIBRARIES = (
    "tensorflow",
    "keras",
    "tensorflow_probability",
    "sklearn",
    "PIL",
    "ai_edge_litert",
    "tensorflow_serving",
    "tensorflow_datasets",
)
WHOLE, REST = "whole", "everything else"
LOOK_EVERY = 0.005  # seconds
SHOWN = 0.02  # seconds of imports


class Parts:
    """Seconds of the parts of a program; nested parts count only in the inner one.

    Attributes:
        seconds: Of each part so far, in the order of their ends.
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]  # for each unfinished part: seconds of the parts inside it

    def timed(self, name: str, function: Callable) -> Callable:
        """The function, with its time counted as a part."""

        @functools.wraps(function)
        def call(*arguments, **keywords):
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **keywords)
            finally:
                seconds = time.perf_counter() - began
                self_seconds = seconds - self._inner.pop()
                self.seconds[name] = self.seconds.get(name, 0.0) + self_seconds
                self._inner[-1] += seconds

        return call


class FirstStepEnded(BaseException):
    """Ends training without an error that the program would report."""


def report_parts(began: float, command: list[str]) -> None:
    """Runs the command up to its first step and prints its parts as JSON.

    Args:
        began: `time.time()` when this process was started.
        command: Arguments of dim_tf.main.
    """
    parts = Parts()
    parts.seconds["start Python"] = time.time() - began
    _time_imports(parts)
    main, values = parts.timed("import absl, define flags", _defined_flags)()
    main.parse_flags(["dim_tf.main", *command], values)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # as the command sets it, before TensorFlow
    parts.timed("import dim_tf, keras_models", __import__)("dim_tf.run")

    import keras

    from dim_tf import data
    from dim_tf.training import callbacks, loop
    from keras_models.objective_model import ObjectiveModel

    def batch_ends(*arguments, **keywords):
        recorded(*arguments, **keywords)
        raise FirstStepEnded

    recorded, callbacks.MetricsLogger.on_train_batch_end = (
        callbacks.MetricsLogger.on_train_batch_end,
        batch_ends,
    )
    ObjectiveModel.train_step = parts.timed("trace the step", ObjectiveModel.train_step)
    data.load = parts.timed("load the data", data.load)
    loop.make_model = parts.timed("build the model", loop.make_model)
    keras.Model.fit = parts.timed("first step: pipeline, graph, run", keras.Model.fit)
    try:
        main.main(["dim_tf.main", *command], values)
    except FirstStepEnded:
        whole = time.time() - began
    parts.seconds[REST] = whole - sum(parts.seconds.values())
    print(json.dumps(parts.seconds), flush=True)


def _defined_flags():
    from dim_tf import main

    values = main.flags.FlagValues()
    main.settings_flags.define(values)
    return main, values


def _time_imports(parts):
    """Counts the first import of each library as a part, from wherever it is imported."""
    real = builtins.__import__
    timed = {name: parts.timed(f"import {name}", real) for name in LIBRARIES}

    def importing(name, *arguments, **keywords):
        function = timed.pop(name.partition(".")[0], real)
        return function(name, *arguments, **keywords)

    builtins.__import__ = importing


def train_command(flags: list[str], run_dir: str) -> list[str]:
    """Arguments that train one step in a run folder."""
    return [*flags, "--mode=train", "--steps=1", "--log_every=1", f"--run_dir={run_dir}"]


def whole_seconds(flags: list[str]) -> float:
    """Seconds until the command has written its first line of metrics."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder, "metrics.jsonl")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "dim_tf.main", *train_command(flags, folder)],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not (metrics.exists() and metrics.stat().st_size):
                if process.poll() is not None:
                    raise RuntimeError(f"the command ended with {process.returncode}")
                time.sleep(LOOK_EVERY)
            return time.perf_counter() - began
        finally:
            process.kill()
            process.wait()


def part_seconds(flags: list[str]) -> dict[str, float]:
    """Seconds of the parts of an instrumented process."""
    with tempfile.TemporaryDirectory() as folder:
        done = _run(
            sys.executable, __file__, f"--report_parts={time.time()}", *train_command(flags, folder)
        )
    return json.loads(done.stdout.splitlines()[-1])


def import_seconds(flags: list[str]) -> dict[str, float]:
    """Package -> seconds that its own modules took to import, the longest first."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-X", "importtime", "-m", "dim_tf.main", *train_command(flags, folder)]
        done = _run(sys.executable, *command)
    return by_package(done.stderr)


def by_package(import_times: str) -> dict[str, float]:
    """Sums up what `python -X importtime` prints: package -> seconds, the longest first."""
    seconds: collections.Counter[str] = collections.Counter()
    for line in import_times.splitlines():
        microseconds, _, module = line.removeprefix("import time:").rpartition("|")
        microseconds = microseconds.partition("|")[0].strip()
        if line.startswith("import time:") and microseconds.isdigit():
            seconds[module.strip().partition(".")[0]] += int(microseconds) / 1e6
    return dict(seconds.most_common())


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done


def table(heading: str, seconds: dict[str, float]) -> str:
    """The rows in Markdown."""
    lines = [f"| {heading} | s |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {value:.2f} |" for name, value in seconds.items()])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flagfile", default="flags/digits.cfg")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON with all timings")
    parser.add_argument("--report_parts", type=float, help=argparse.SUPPRESS)
    arguments, train_flags = parser.parse_known_args()
    flags = [f"--flagfile={arguments.flagfile}", *train_flags]
    if arguments.report_parts:
        report_parts(arguments.report_parts, flags)
        return
    print(load(), flush=True)
    if arguments.imports:
        seconds = import_seconds(flags)
        print(table("package", {name: s for name, s in seconds.items() if s >= SHOWN}))
    else:
        whole_seconds(flags)
        parts: list[dict] = []

        def parts_turn():
            parts.append(part_seconds(flags))
            return sum(parts[-1].values())

        turns = in_turns(
            {WHOLE: lambda: whole_seconds(flags), "whole, of its parts": parts_turn},
            arguments.repetitions,
        )
        part_turns = {name: [turn[name] for turn in parts] for name in parts[0]}
        print(table("part", medians(turns | part_turns)))
        turns |= part_turns
    print(load())
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        timings = seconds if arguments.imports else turns
        arguments.out.write_text(json.dumps(timings, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
