"""Comparable timings: taken in turns, A B A B, each the median of several.

The speed of a machine drifts with other work, heat and neighbours. Measurements in turns drift
together, so that their ratios hold even if the seconds do not. Programs that cannot share a process
(another library, another precision policy) are workers, each of which waits for its turn.

A worker prints a line of JSON, its facts, when it is ready. For each line that it reads, the name
of a task, it repeats the task for `SECONDS` and prints the seconds of one call. It needs only
Python's standard library, so that any interpreter can run a worker.
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
PAUSE = 0.2  # before each timing: the threads of the previous one spin for a while


def seconds_of(call: Callable[[], object], at_least: float = SECONDS) -> float:
    """Mean seconds of a call, over as many calls as take `at_least` seconds."""
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
    """Calls the measures in turns, `repetitions` times each; returns their values by name."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repetitions):
        for name, measure in measures.items():
            time.sleep(PAUSE)
            values[name].append(measure())
    return values


def medians(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each list, by its name."""
    return {name: statistics.median(turns) for name, turns in values.items()}


def milliseconds_of_both(
    plain: Callable[[], object], fast: Callable[[], object], repetitions: int
) -> tuple[float, float]:
    """Median milliseconds of a call of each function, in turns after one call of each."""
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
    """Peak resident bytes of this process (VmHWM, Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmHWM")


def load() -> str:
    """How busy the machine is, to be printed with timings."""
    return f"{os.cpu_count()} CPU cores, load average {os.getloadavg()[0]:.1f}"


def serve(facts: dict, tasks: Mapping[str, Callable[[], object]]) -> None:
    """The worker's side: runs the tasks that it reads until its input ends."""
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(json.dumps(seconds_of(tasks[line.strip()])), flush=True)


class Worker:
    """A process that runs tasks on request.

    Args:
        command: Starts the process.

    Attributes:
        facts: Printed by the process when it was ready.

    Raises:
        RuntimeError: it ended before it was ready, or during a task; its errors are on stderr.
    """

    def __init__(self, command: Sequence[str]):
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.facts = self._answer()
        except BaseException:  # also of a signal
            self._process.kill()
            self._process.wait()
            raise

    def seconds(self, task: str) -> float:
        """Seconds of one call of a task."""
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
