"""The examples of docstrings run."""

import doctest
import importlib
from pathlib import Path

import pytest

import keras_models

FOLDER = Path(keras_models.__file__).parent
MODULES = [
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts)
    for path in sorted(FOLDER.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed


def test_examples_are_found():
    assert {"keras_models.deep_infomax", "keras_models.encoders.backbone"} <= set(MODULES)
