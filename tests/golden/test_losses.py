"""Two steps of everything that can be trained have the losses and metrics of `losses.json`.

The tolerance is for another kind of CPU: without oneDNN and AVX512, two steps differ by up to 5e-3
in a score near zero and by 4e-4 in a loss. `losses.py check` compares ten steps at 1e-5.
"""

import importlib.util
import json
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("golden_losses", Path(__file__).parent / "losses.py")
golden = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(golden)
TABLE = json.loads(golden.LOSSES.read_text())
STEPS = 2
# The model, and nearly the settings, of another flagfile, on images of another size.
ALIKE = ("cifar100", "fashion_mnist", "folder", "stl10", "tiny_imagenet", "two_views_cifar10")
CASES = [
    pytest.param(case, marks=pytest.mark.long if alike else pytest.mark.slow)
    for case in golden.cases()
    for alike in [case.removeprefix("flags/") in ALIKE]
]


def test_every_case_has_its_losses():
    assert sorted(TABLE) == sorted(golden.cases())
    assert all(len(values) == 10 for case in TABLE.values() for values in case.values())


def test_a_metric_that_is_missing_or_new_differs():
    assert golden.differences({"a": [1.0]}, {"b": [1.0]}) == {"a": float("inf"), "b": float("inf")}
    assert golden.differences({"a": [2.0, -4.0]}, {"a": [2.0, -3.0]}) == {"a": 0.25}


@pytest.mark.parametrize("case", CASES)
def test_steps_have_the_golden_losses(case, monkeypatch):
    monkeypatch.setattr(golden, "STEPS", STEPS)
    before = {name: values[:STEPS] for name, values in TABLE[case].items()}
    difference = golden.differences(before, golden.losses(case))
    assert difference.pop("loss") < 1e-3
    assert {name: x for name, x in difference.items() if x >= 1e-2} == {}
