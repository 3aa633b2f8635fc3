"""The tables in docs/results: this version reads their records and writes the same files.

Where a setting is renamed, rename it in the records; then the table's command with
--results=docs/results writes the tables anew, as no row is left to run.
"""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from absl import flags

from dim_tf.cli import flags as settings_flags
from dim_tf.tables.plan import make_plan
from dim_tf.tables.writers import write

RESULTS = Path(__file__).parents[3] / "docs/results"
TABLES = sorted(RESULTS.glob("table*/table*.json"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_committed_table_is_written_anew_from_its_records(tmp_path, path):
    copies = tmp_path / "results" / path.parent.name
    shutil.copytree(path.parent / "rows", copies / "rows")
    words = shlex.split(json.loads(path.read_text(encoding="utf-8"))["command"])
    values = flags.FlagValues()
    settings_flags.define(values)
    folders = [f"--run_dir={tmp_path / path.parent.name}", f"--results={copies.parent}"]
    values(["main", *words[words.index("--mode=table") :], *folders])
    experiment = settings_flags.experiment(values, ["main"])
    write(make_plan(experiment, settings_flags.present(values)))
    for file in (path, path.with_suffix(".md")):
        written = (copies / file.name).read_text(encoding="utf-8")
        assert written == file.read_text(encoding="utf-8")
