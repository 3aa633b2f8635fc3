"""Turns, and workers in processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path

import interleaved
import pytest

WORKER = """
import interleaved
interleaved.serve({"name": "w"}, {"nothing": lambda: None})
"""


def test_turns_alternate(monkeypatch):
    monkeypatch.setattr(interleaved, "PAUSE", 0.0)
    order = []
    numbers = iter(range(10))

    def measure(name):
        order.append(name)
        return next(numbers)

    times = interleaved.in_turns({n: lambda n=n: measure(n) for n in "ab"}, 3)
    assert order == ["a", "b"] * 3
    assert times == {"a": [0, 2, 4], "b": [1, 3, 5]}
    assert interleaved.medians(times) == {"a": 2, "b": 3}


def test_seconds_of_a_call_are_the_mean(monkeypatch):
    clock = iter([0.0, 0.4, 0.8, 1.2])
    monkeypatch.setattr(interleaved.time, "perf_counter", lambda: next(clock))
    calls = []
    assert interleaved.seconds_of(lambda: calls.append(1), at_least=1.0) == pytest.approx(0.4)
    assert len(calls) == 3


def test_a_worker_tells_facts_and_does_tasks(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(interleaved.__file__).parent))
    worker = interleaved.Worker([sys.executable, "-c", WORKER])
    assert worker.facts == {"name": "w"}
    assert 0 < worker.seconds("nothing") < interleaved.SECONDS
    worker.close()


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(RuntimeError, match="ended with 3"):
        interleaved.Worker([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_worker_that_is_none_is_ended(monkeypatch):
    processes, popen = [], subprocess.Popen

    def recorded(*arguments, **settings):
        processes.append(popen(*arguments, **settings))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    program = "import time; print('no JSON', flush=True); time.sleep(600)"
    with pytest.raises(ValueError, match="Expecting value"):
        interleaved.Worker([sys.executable, "-c", program])
    (process,) = processes
    assert process.poll() == -signal.SIGKILL


def test_peak_memory_keeps_what_was_freed():
    program = "; ".join(
        [
            "import interleaved",
            "before = interleaved.peak_memory()",
            "block = b'x' * 2**26",
            "del block",
            "print(interleaved.peak_memory() - before)",
        ]
    )
    environment = {"PYTHONPATH": str(Path(interleaved.__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    )
    assert int(done.stdout) >= 2**25
