"""Parts of a program's time."""

import pytest
import startup


def test_a_part_inside_another_counts_once(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(startup.time, "perf_counter", lambda: clock[0])
    parts = startup.Parts()

    def inner():
        clock[0] += 2.0

    def outer():
        clock[0] += 1.0
        parts.timed("inner", inner)()
        parts.timed("inner", inner)()

    parts.timed("outer", outer)()
    assert parts.seconds == {"inner": 4.0, "outer": 1.0}


def test_a_part_that_fails_counts(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(startup.time, "perf_counter", lambda: clock[0])
    parts = startup.Parts()

    def fails():
        clock[0] += 3.0
        raise startup.FirstStepEnded

    with pytest.raises(startup.FirstStepEnded):
        parts.timed("x", fails)()
    assert parts.seconds == {"x": 3.0}


def test_imports_are_added_up_by_package():
    output = "\n".join(
        [
            "import time: self [us] | cumulative | imported package",
            "import time:       500 |        500 |     numpy.core",
            "import time:      1500 |       2000 |   numpy",
            "something else | 3 | 4",
            "import time:   3000000 |    3002000 | tensorflow",
        ]
    )
    assert startup.by_package(output) == {"tensorflow": 3.0, "numpy": 0.002}
