"""Timings that can be compared: taken in turns, A B A B, each the median of several.

A machine drifts, by other work, heat and neighbours. What is measured in turns drifts alike,
so that ratios hold where the seconds do not. Programs that cannot live in one process (another
library, another policy of precision) are workers: each waits until it is its turn.

A worker prints a line of JSON, its facts, when it is ready; for each line it reads, the name of a
task, it does the task for `SECONDS` and prints a line with the seconds of one call. Needs Python's
standard library alone, so that any interpreter can run a worker.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SECONDS = 1.0  # how long a task is repeated for one timing
PAUSE = 0.2  # before each: the threads of the one before spin for a while and then sleep


def seconds_of(call: Callable[[], object], at_least: float = SECONDS) -> float:
    """Seconds of one call: the mean of as many as take `at_least` seconds."""
    calls, began = 0, time.perf_counter()
    while True:
        call()
        calls += 1
        seconds = time.perf_counter() - began
        if seconds >= at_least:
            return seconds / calls


def in_turns(
    measures: Mapping[str, Callable[[], float]], repetitions: int
) -> dict[str, list[float]]:
    """Calls the measures in turns, `repetitions` times each; what each gave, by its name."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repetitions):
        for name, measure in measures.items():
            time.sleep(PAUSE)
            found[name].append(measure())
    return found


def medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def milliseconds_of_both(
    plain: Callable[[], object], fast: Callable[[], object], repetitions: int
) -> tuple[float, float]:
    """The median milliseconds of a call of each, taken in turns after one call of each."""
    calls = {"plain": plain, "fast": fast}
    for call in calls.values():
        call()
    seconds = medians(
        in_turns(
            {name: lambda call=call: seconds_of(call) for name, call in calls.items()},
            repetitions,
        )
    )
    return 1e3 * seconds["plain"], 1e3 * seconds["fast"]


def peak_memory() -> int:
    """The most bytes that this process has held in memory (VmHWM, Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")


def load() -> str:
    """How busy the machine is, to be printed beside figures."""
    return f"{os.cpu_count()} CPU cores, load average {os.getloadavg()[0]:.1f}"


def serve(facts: dict, tasks: Mapping[str, Callable[[], object]]) -> None:
    """The worker's side: does tasks in their turns until its input ends."""
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(json.dumps(seconds_of(tasks[line.strip()])), flush=True)


class Worker:
    """A process that does tasks when it is asked to.

    Args:
        command: starts it.

    Attributes:
        facts: what it told of itself.

    Raises:
        RuntimeError: it ended before it was ready; its errors stand on stderr.
    """

    def __init__(self, command: Sequence[str]):
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._answer()

    def seconds(self, task: str) -> float:
        """Seconds of one call of that task."""
        assert self._process.stdin
        self._process.stdin.write(task + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{' '.join(map(str, self._process.args))} ended with {self._process.wait()}"
            )
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
