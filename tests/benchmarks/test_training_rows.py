"""Rows of a benchmark: run once, by one process, and never mixed with other settings."""

import json
import os

import pytest
from training_rows import Row, run_rows, seconds_of

from dim_tf.system.locks import locked_file

SETTINGS = {
    "dataset": "digits",
    "critic_units": 8,
    "epochs": 1,
    "steps": 2,
    "online_probe": False,
}


@pytest.fixture
def broken():
    """A row that fails when it is run."""
    return Row("a-1epochs", "a", {"dataset": "no such data set"})


def write(out, settings, metrics):
    (out / "rows").mkdir()
    content = {"settings": settings, "metrics": metrics}
    (out / "rows/a-1epochs.json").write_text(json.dumps(content))


def test_a_finished_row_is_not_run_again(broken, tmp_path):
    assert broken.read(tmp_path) is None
    write(tmp_path, broken.settings, {"conv": 0.5})
    assert run_rows([broken], tmp_path, "")
    assert broken.read(tmp_path) == {"conv": 0.5}
    assert os.listdir(tmp_path / "rows") == ["a-1epochs.json"]


def test_metrics_of_other_settings_are_refused(broken, tmp_path):
    write(tmp_path, SETTINGS, {"conv": 0.5})
    with pytest.raises(SystemExit, match="other settings; give another --out"):
        run_rows([broken], tmp_path, "")


def test_a_row_is_left_to_the_process_that_runs_it(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(Row, "run", lambda *_: False)
    (tmp_path / "rows").mkdir()
    with locked_file(tmp_path / "rows/.a.lock"):
        assert run_rows([broken], tmp_path, "")
    assert not run_rows([broken], tmp_path, "")  # it was tried


def test_budgets_of_a_run_are_run_in_order(tmp_path, monkeypatch):
    """Otherwise a shorter budget could never be measured."""
    names_run = []

    def run(row, out, data_dir):
        # No other process runs one of them meanwhile.
        with pytest.raises(BlockingIOError), locked_file(out / "rows/.a.lock"):
            pass
        names_run.append(row.name)
        return row.name != "a-5epochs"

    monkeypatch.setattr(Row, "run", run)
    names = ["a-1epochs", "a-2epochs", "a-5epochs", "a-9epochs"]
    write(tmp_path, SETTINGS, {"conv": 0.5})
    assert not run_rows([Row(name, "a", SETTINGS) for name in names], tmp_path, "")
    assert names_run == names[1:3]


def test_tracing_does_not_count_as_training():
    def lines(*seconds, every=1):
        return [
            {"step": every * (i + 1), "images_per_second": 8 / step}
            for i, step in enumerate(seconds)
        ]

    assert seconds_of(lines(10.0, 0.1, 0.2, 0.1, 0.1, 12.0, 0.1), 8) == pytest.approx(0.8)
    assert seconds_of(lines(0.1, 0.2, 0.1, every=50), 8) == pytest.approx(20)


@pytest.mark.slow
def test_a_failed_row_is_reported(broken, tmp_path, capsys):
    assert not run_rows([broken], tmp_path, "")
    assert "a-1epochs: failed with status 1" in capsys.readouterr().out
    assert broken.read(tmp_path) is None


@pytest.mark.slow
def test_a_row_is_trained_and_measured(tmp_path):
    row = Row("a-1epochs", "a", SETTINGS)
    assert run_rows([row], tmp_path, "")
    metrics = row.read(tmp_path)
    assert metrics["steps"] == 2
    assert metrics["seconds"] > 0
    for name in ("conv", "fc", "global", "knn"):
        assert 0.1 < metrics[name] <= 1.0
    assert (tmp_path / "a/checkpoints").is_dir()
