"""The tables in docs/results: this version reads their records and writes the same files.

Where a setting is renamed, rename it in the records; then the table's command with
--results=docs/results writes the tables anew, as no row is left to run.
"""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from dim_tf.experiment import Experiment
from dim_tf.tables.plan import make_plan
from dim_tf.tables.writers import write

RESULTS = Path(__file__).parents[3] / "docs/results"
TABLES = sorted(RESULTS.glob("table*/table*.json"))


def settings_of(command):
    """The settings of a table's command."""
    flags = [word[2:].split("=", 1) for word in shlex.split(command) if "=" in word]
    defaults = Experiment.__dataclass_fields__
    return {name: type(defaults[name].default)(text) for name, text in flags if name != "mode"}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_committed_table_is_written_anew_from_its_records(tmp_path, path):
    copies = tmp_path / "results" / path.parent.name
    shutil.copytree(path.parent / "rows", copies / "rows")
    settings = settings_of(json.loads(path.read_text(encoding="utf-8"))["command"]) | {
        "run_dir": str(tmp_path / path.parent.name),
        "results": str(copies.parent),
    }
    write(make_plan(Experiment.of(name="t", **settings), settings))
    for file in (path, path.with_suffix(".md")):
        written = (copies / file.name).read_text(encoding="utf-8")
        assert written == file.read_text(encoding="utf-8")
