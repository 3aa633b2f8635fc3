"""Rows of a benchmark: done once, by one process, and never of other settings."""

import json
import os

import pytest
from trained_rows import Row, run, seconds_of

from dim_tf import file_lock

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


def write(out, settings, figures):
    (out / "rows").mkdir()
    found = {"settings": settings, "figures": figures}
    (out / "rows/a-1epochs.json").write_text(json.dumps(found))


def test_a_finished_row_is_not_done_again(broken, tmp_path):
    assert broken.read(tmp_path) is None
    write(tmp_path, broken.settings, {"conv": 0.5})
    assert run([broken], tmp_path, "")
    assert broken.read(tmp_path) == {"conv": 0.5}
    assert os.listdir(tmp_path / "rows") == ["a-1epochs.json"]


def test_figures_of_other_settings_are_refused(broken, tmp_path):
    write(tmp_path, SETTINGS, {"conv": 0.5})
    with pytest.raises(SystemExit, match="other settings; give another --out"):
        run([broken], tmp_path, "")


def test_a_row_of_a_run_that_another_process_is_at_is_left(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(Row, "do", lambda *_: False)
    (tmp_path / "rows").mkdir()
    held = file_lock.take(tmp_path / "rows/.a.lock")
    assert run([broken], tmp_path, "")
    os.close(held)
    assert not run([broken], tmp_path, "")  # it was tried


def test_budgets_of_a_run_are_done_in_their_order(tmp_path, monkeypatch):
    """Else the run would be past a shorter one, which could never be measured."""
    done = []

    def do(row, out, data_dir):
        with pytest.raises(BlockingIOError):  # no other process does one of them meanwhile
            file_lock.take(out / "rows/.a.lock")
        done.append(row.name)
        return row.name != "a-5epochs"

    monkeypatch.setattr(Row, "do", do)
    names = ["a-1epochs", "a-2epochs", "a-5epochs", "a-9epochs"]
    write(tmp_path, SETTINGS, {"conv": 0.5})
    assert not run([Row(name, "a", SETTINGS) for name in names], tmp_path, "")
    assert done == names[1:3]


def test_tracing_is_no_training():
    def lines(*seconds, every=1):
        return [
            {"step": every * (i + 1), "images_per_second": 8 / step}
            for i, step in enumerate(seconds)
        ]

    assert seconds_of(lines(10.0, 0.1, 0.2, 0.1, 0.1, 12.0, 0.1), 8) == pytest.approx(0.8)
    assert seconds_of(lines(0.1, 0.2, 0.1, every=50), 8) == pytest.approx(20)


@pytest.mark.slow
def test_a_row_that_fails_is_told(broken, tmp_path, capsys):
    assert not run([broken], tmp_path, "")
    assert "a-1epochs: failed with status 1" in capsys.readouterr().out
    assert broken.read(tmp_path) is None


@pytest.mark.slow
def test_a_row_is_trained_and_measured(tmp_path):
    row = Row("a-1epochs", "a", SETTINGS)
    assert run([row], tmp_path, "")
    figures = row.read(tmp_path)
    assert figures["steps"] == 2
    assert figures["seconds"] > 0
    for name in ("conv", "fc", "global", "knn"):
        assert 0.1 < figures[name] <= 1.0
    assert (tmp_path / "a/checkpoints").is_dir()
