"""A table from the command line: real rows of a few steps, in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "dim_tf.main", "--mode=table", "--table=1", "--dataset=digits"]
SMALL = ["--steps=4", "--batch_size=16", "--critic_units=16", "--probe_epochs=1", "--probe_seeds=1"]
ROWS = ["--rows=dim_l_jsd,dim_g_jsd", "--results=results"]


def run(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    done = subprocess.run(
        [*COMMAND, *SMALL, *ROWS], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_rows_of_digits(tmp_path, monkeypatch):
    run(tmp_path, monkeypatch)
    folder = tmp_path / "runs/table1-digits"
    table = json.loads((folder / "table1.json").read_text())
    rows = {row["row"]: row for row in table["rows"]}
    for key in ("dim_l_jsd", "dim_g_jsd"):
        assert set(rows[key]["metrics"]) == {"mlp_probe/conv", "mlp_probe/fc", "mlp_probe/global"}
        assert rows[key]["gaps"] == []
        assert rows[key]["seconds"]["train"] > 0
        record = json.loads((folder / f"rows/{key}-seed0.json").read_text())
        protocol = record["evaluation"]["protocol"]
        assert (protocol["step"], protocol["budget_steps"]) == (4, 4)
        assert ("random_weights" in record["evaluation"]["references"]) == (key == "dim_l_jsd")
    assert rows["dim_l_infonce"]["gaps"] == ["not run"]
    assert table["references"]["random_weights"]
    page = (folder / "table1.html").read_text()
    assert "DIM(L) JSD" in page
    results = tmp_path / "results/table1-digits"
    assert {path.name for path in (results / "rows").iterdir()} == {
        "dim_l_jsd-seed0.json",
        "dim_g_jsd-seed0.json",
    }
    assert "evaluate" not in run(tmp_path, monkeypatch)  # all rows are finished
