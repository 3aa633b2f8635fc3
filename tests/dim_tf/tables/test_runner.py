"""Rows as processes: resumed, shared, stopped, failed. `fake_program` replaces the program."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_program
import pytest

from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, RunError
from dim_tf.tables import records
from dim_tf.tables.leases import Lease, LeaseFolder, LeaseLost
from dim_tf.tables.plan import make_plan
from dim_tf.tables.runner import Runner, raise_if_failed
from dim_tf.tables.summary import summarise
from dim_tf.tables.writers import write

PROGRAM = (sys.executable, "-S", fake_program.__file__)
OTHER_PROCESS = """
import sys
from dim_tf.experiment import Experiment
from dim_tf.tables import runner, writers
from dim_tf.tables.plan import make_plan
settings = eval(sys.argv[1])
plan = make_plan(Experiment.of(name="t", **settings), settings)
try:
    runner.Runner(plan, lambda: writers.write(plan), sys.argv[2:]).run()
except runner.Stopped:
    sys.exit(143)
"""


def settings_of(folder, **changes):
    return {
        "table": "1",
        "rows": "dim_l_infonce,dim_l_jsd",
        "dataset": "cifar10",
        "run_dir": str(folder),
        **changes,
    }


def plan_of(folder, **changes):
    settings = settings_of(folder, **changes)
    return make_plan(Experiment.of(name="t", **settings), settings)


def run_table(folder, **settings):
    plan = plan_of(folder, **settings)
    Runner(plan, lambda: write(plan), PROGRAM).run()
    return json.loads((folder / "table1.json").read_text())


def start(folder, steps=2, **settings):
    code = [sys.executable, "-c", OTHER_PROCESS, repr(settings_of(folder, **settings)), *PROGRAM]
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "FAKE_STEPS": str(steps)}
    return subprocess.Popen(code, env=environment, stdout=subprocess.DEVNULL)


def row(table, key):
    return next(row for row in table["rows"] if row["row"] == key)


def stages(folder, run):
    return (folder / "runs" / run / "stages.txt").read_text().splitlines()


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_row_is_trained_and_measured_once(tmp_path):
    table = run_table(tmp_path, table_seeds="0,1", results=str(tmp_path / "results"))
    summary = row(table, "dim_l_jsd")
    fc = summary["metrics"]["mlp_probe/fc"]
    assert (fc["mean"], fc["std"]) == pytest.approx((0.55, 0.0707107), rel=1e-4)
    assert fc["values"] == [0.5, 0.6]
    assert summary["paper"]["mlp_probe/fc"] == pytest.approx(0.7362)
    assert row(table, "vae")["gaps"][0].startswith(("not run", "this version has no --model=vae"))
    assert table["references"]["pixels"] == {"mlp_probe/conv": 0.25}
    assert table["references"]["random_weights"]["mlp_probe/fc"] == 0.125
    run_table(tmp_path, table_seeds="0,1")
    assert stages(tmp_path, "dim_l_jsd-seed1") == ["train mlp", "evaluate mlp"]
    copies = tmp_path / "results" / tmp_path.name
    assert (copies / "table1.md").read_text() == (tmp_path / "table1.md").read_text()
    record = json.loads((copies / "rows/dim_l_jsd-seed1.json").read_text())
    assert str(tmp_path) not in json.dumps(record)  # nothing of this machine's folders
    assert record["settings"]["seed"] == 1


def test_copies_of_finished_rows_are_not_run_again(tmp_path):
    results = str(tmp_path / "results")
    run_table(tmp_path / "here/table", results=results)
    table = run_table(tmp_path / "there/table", results=results)
    assert not (tmp_path / "there/table/runs").exists()
    assert row(table, "dim_l_jsd")["metrics"]


def test_a_retrained_row_repeats_all_measures_of_its_copy(tmp_path):
    results = str(tmp_path / "results")
    run_table(tmp_path / "here/table", rows="dim_l_jsd", results=results)
    run_table(
        tmp_path / "there/table", rows="dim_l_jsd", results=results, table="1", measures="svm"
    )
    assert stages(tmp_path / "there/table", "dim_l_jsd-seed0")[0] == "train mlp,svm"
    for folder in (tmp_path / "there/table", tmp_path / "results/table"):
        record = json.loads((folder / "rows/dim_l_jsd-seed0.json").read_text())
        assert record["measures"] == ["mlp", "svm"]


def test_metrics_of_another_step_do_not_replace_the_recorded_ones(tmp_path):
    run_table(tmp_path, rows="dim_l_jsd")
    path = tmp_path / "rows/dim_l_jsd-seed0.json"
    record = json.loads(path.read_text())
    record["evaluation"]["protocol"]["step"] = 1
    path.write_text(json.dumps(record))
    table = run_table(tmp_path, rows="dim_l_jsd", measures="svm")
    record = json.loads(path.read_text())
    assert record["measures"] == ["mlp"]
    assert "mlp_probe" in record["evaluation"]
    (gap,) = row(table, "dim_l_jsd")["gaps"]
    assert gap.startswith("evaluate failed: its earlier metrics are of step 1 and not 2")


def test_a_failure_after_the_weights_are_gone_leaves_the_metrics(tmp_path, monkeypatch):
    """Metrics of the new weights are never mixed with those of the old ones."""
    run, path = tmp_path / "runs/dim_l_jsd-seed0", tmp_path / "rows/dim_l_jsd-seed0.json"
    run_table(tmp_path, rows="dim_l_jsd")
    shutil.rmtree(run)
    for stage, asked in (("train", "train mlp,svm"), ("evaluate", "evaluate mlp,svm")):
        monkeypatch.setenv("FAKE_FAILS", stage)
        table = run_table(tmp_path, rows="dim_l_jsd", measures="svm")
        assert row(table, "dim_l_jsd")["metrics"]
        record = json.loads(path.read_text())
        assert record["measures"] == ["mlp"]
        assert list(record["failed"]) == [stage]
        assert stages(tmp_path, "dim_l_jsd-seed0")[-1] == asked
    monkeypatch.delenv("FAKE_FAILS")
    run_table(tmp_path, rows="dim_l_jsd", measures="svm")
    assert stages(tmp_path, "dim_l_jsd-seed0")[-1] == "evaluate mlp,svm"
    record = json.loads(path.read_text())
    assert (record["measures"], record["failed"]) == (["mlp", "svm"], {})
    run_table(tmp_path, rows="dim_l_jsd", measures="knn")
    assert stages(tmp_path, "dim_l_jsd-seed0")[-1] == "evaluate knn"


def test_references_are_measured_once_for_all_commands(tmp_path):
    results = str(tmp_path / "results")
    run_table(tmp_path / "table", rows="dim_l_jsd", results=results)
    for folder in (tmp_path / "table", tmp_path / "elsewhere" / "table"):
        references = [
            job.experiment.evaluation.references
            for measures in ("mlp", "mlp,svm", "mlp,knn")
            for job in records.without_known_references(
                plan_of(folder, rows="dim_l_dv,dim_l_jsd", measures=measures, results=results)
            )
        ]
        # svm has no references, and those of knn are not measured yet.
        assert references == [False, False, False, False, True, False]
    first_jobs = records.without_known_references(plan_of(tmp_path / "table", rows="dim_l_jsd"))
    assert first_jobs[0].experiment.evaluation.references  # its own
    other_probe_jobs = records.without_known_references(
        plan_of(tmp_path / "table", rows="dim_l_dv", probe_epochs=5, results=results)
    )
    assert other_probe_jobs[0].experiment.evaluation.references  # of another probe


def test_references_belong_to_the_same_start_weights(tmp_path):
    results = str(tmp_path / "results")
    run_table(tmp_path / "table", rows="dim_l_jsd", results=results)
    for changed in ({"max_features": 1000}, {"init_from": "runs/before"}):
        plan = plan_of(tmp_path / "other", rows="dim_l_dv", results=results, **changed)
        assert records.without_known_references(plan)[0].experiment.evaluation.references, changed


def test_a_table_shows_the_references_that_another_one_measured(tmp_path):
    run_table(tmp_path, rows="supervised")
    plan = plan_of(tmp_path, table="gamma", rows="")
    assert not any(
        job.experiment.evaluation.references for job in records.without_known_references(plan)
    )
    assert summarise(plan).references["pixels"][0] == 0.25
    assert (
        summarise(plan_of(tmp_path, table="gamma", rows="", precision="bfloat16")).references == {}
    )


def test_a_table_whose_measures_have_no_references_measures_none(tmp_path):
    """A row that such a table measured first does not count as having them."""
    plan = plan_of(tmp_path, table="3", rows="dim_l_jsd")
    assert not records.without_known_references(plan)[0].experiment.evaluation.references
    run_table(tmp_path, rows="dim_l_jsd")
    path = tmp_path / "rows/dim_l_jsd-seed0.json"
    record = json.loads(path.read_text())
    record["evaluation"]["references"] = {"random_weights": {}, "pixels": {}}
    path.write_text(json.dumps(record))
    assert records.without_known_references(plan_of(tmp_path, rows="vae"))[
        0
    ].experiment.evaluation.references


def test_a_failed_reference_is_reported_and_retried(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LACKS_REFERENCE", "mlp")
    results = tmp_path / "results"
    table = run_table(tmp_path, rows="dim_l_jsd", results=str(results))
    assert row(table, "dim_l_jsd")["gaps"] == ["references failed: mlp of raw pixels: it diverged"]
    assert row(table, "dim_l_jsd")["metrics"]
    with pytest.raises(RunError, match="mlp of raw pixels"):
        raise_if_failed(plan_of(tmp_path, rows="dim_l_jsd"))
    assert not (results / tmp_path.name / "rows").exists()
    monkeypatch.delenv("FAKE_LACKS_REFERENCE")
    table = run_table(tmp_path, rows="dim_l_jsd")
    assert row(table, "dim_l_jsd")["gaps"] == []
    assert table["references"]


def test_missing_measures_are_added_to_the_same_run(tmp_path):
    run_table(tmp_path, rows="dim_l_jsd")
    run_table(tmp_path, rows="dim_l_jsd", measures="mlp,svm")
    assert stages(tmp_path, "dim_l_jsd-seed0")[2:] == ["train svm", "evaluate svm"]
    record = json.loads((tmp_path / "rows/dim_l_jsd-seed0.json").read_text())
    assert record["measures"] == ["mlp", "svm"]
    assert {"mlp_probe", "svm"} <= record["evaluation"].keys()
    assert "--measures=mlp,svm" in record["command"]
    assert (tmp_path / "runs/dim_l_jsd-seed0/steps.txt").read_text() == "1\n2\n"


def test_other_settings_are_refused(tmp_path):
    run_table(tmp_path, rows="dim_l_jsd")
    with pytest.raises(InputError, match="epochs: 20 -> 3"):
        run_table(tmp_path, epochs=3)


def test_a_checkpoint_of_a_longer_budget_is_not_recorded_as_a_shorter_one(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_STEP", "3000")
    table = run_table(tmp_path, rows="dim_l_jsd", epochs=1)
    gaps = row(table, "dim_l_jsd")["gaps"]
    assert len(gaps) == 1
    assert "its checkpoint is from step 3000, and training is to end at step 2" in gaps[0]
    assert row(table, "dim_l_jsd")["metrics"] == {}
    monkeypatch.delenv("FAKE_STEP")
    table = run_table(tmp_path, rows="dim_l_jsd", epochs=30)  # the budget that it was begun with
    assert row(table, "dim_l_jsd")["metrics"]


def test_a_failed_row_is_a_gap_and_is_retried(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAILS", "train")
    table = run_table(tmp_path, rows="dim_l_jsd")
    gap = "train failed: RUN_DIR/runs/dim_l_jsd-seed0 was to fail"
    assert row(table, "dim_l_jsd")["gaps"] == [gap]
    assert stages(tmp_path, "dim_l_jsd-seed0") == ["train mlp"]
    with pytest.raises(RunError, match="was to fail"):
        raise_if_failed(plan_of(tmp_path, rows="dim_l_jsd"))
    monkeypatch.delenv("FAKE_FAILS")
    table = run_table(tmp_path, rows="dim_l_jsd")
    assert row(table, "dim_l_jsd")["metrics"]
    assert row(table, "dim_l_jsd")["gaps"] == []
    raise_if_failed(plan_of(tmp_path, rows="dim_l_jsd"))


def test_a_damaged_evaluation_is_a_failed_row(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_DAMAGES", "yes")
    table = run_table(tmp_path, rows="dim_l_jsd")
    (gap,) = row(table, "dim_l_jsd")["gaps"]
    assert gap.startswith("evaluate failed: evaluation.json cannot be read (")
    monkeypatch.delenv("FAKE_DAMAGES")
    assert row(run_table(tmp_path, rows="dim_l_jsd"), "dim_l_jsd")["metrics"]


def test_a_failure_leaves_earlier_metrics(tmp_path, monkeypatch):
    run_table(tmp_path, rows="dim_l_jsd")
    monkeypatch.setenv("FAKE_FAILS", "train")
    table = run_table(tmp_path, rows="dim_l_jsd", measures="svm")
    assert row(table, "dim_l_jsd")["metrics"]
    record = json.loads((tmp_path / "rows/dim_l_jsd-seed0.json").read_text())
    assert record["measures"] == ["mlp"]
    assert list(record["failed"]) == ["train"]


def test_a_row_that_was_taken_over_is_killed_at_once(tmp_path, monkeypatch):
    def renew(lease):
        raise LeaseLost

    monkeypatch.setattr(Lease, "renew", renew)
    monkeypatch.setenv("FAKE_STEPS", "10000")
    table = run_table(tmp_path, rows="dim_l_jsd")
    assert row(table, "dim_l_jsd")["metrics"] == {}
    assert not (tmp_path / "rows").exists()


def test_a_failed_measure_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LACKS", "svm")
    table = run_table(tmp_path, rows="dim_l_jsd", measures="svm", results=str(tmp_path / "results"))
    assert row(table, "dim_l_jsd")["metrics"]
    assert row(table, "dim_l_jsd")["gaps"] == ["svm failed: it diverged"]
    assert not (tmp_path / "results" / tmp_path.name / "rows").exists()  # not finished


def test_another_tables_failed_measure_does_not_repeat_a_finished_row(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LACKS", "svm")
    run_table(tmp_path, rows="dim_l_jsd", measures="svm")
    before = stages(tmp_path, "dim_l_jsd-seed0")
    table = run_table(tmp_path, rows="dim_l_jsd")
    assert stages(tmp_path, "dim_l_jsd-seed0") == before
    assert row(table, "dim_l_jsd")["gaps"] == []
    raise_if_failed(plan_of(tmp_path, rows="dim_l_jsd"))
    run_table(tmp_path, rows="dim_l_jsd", measures="knn")
    record = json.loads((tmp_path / "rows/dim_l_jsd-seed0.json").read_text())
    assert record["failed"] == {"svm": "it diverged"}  # carried over


def test_a_row_that_was_finished_just_before_its_lease_is_not_run_again(tmp_path):
    run_table(tmp_path, rows="dim_l_jsd")
    record = tmp_path / "rows/dim_l_jsd-seed0.json"
    finished = record.read_text()
    record.unlink()

    class Late(LeaseFolder):
        def acquire(self, name):
            record.write_text(finished)
            return super().acquire(name)

    plan = plan_of(tmp_path, rows="dim_l_jsd")
    Runner(plan, lambda: None, PROGRAM, Late(tmp_path / "leases")).run()
    assert stages(tmp_path, "dim_l_jsd-seed0") == ["train mlp", "evaluate mlp"]


@pytest.mark.slow
def test_two_processes_share_the_rows(tmp_path):
    rows = "dim_l_infonce,dim_l_jsd,dim_l_dv"
    both = [start(tmp_path, steps=5, rows=rows) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    table = json.loads((tmp_path / "table1.json").read_text())
    for key in rows.split(","):
        assert stages(tmp_path, f"{key}-seed0") == ["train mlp", "evaluate mlp"]
        assert row(table, key)["metrics"]


@pytest.mark.slow
def test_a_killed_table_resumes_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SAVES", "1")
    process = start(tmp_path, steps=10_000, rows="dim_l_jsd")
    steps = tmp_path / "runs/dim_l_jsd-seed0/steps.txt"
    wait_for(lambda: steps.exists() and len(steps.read_text().splitlines()) > 2)
    process.kill()
    process.wait()
    assert LeaseFolder(tmp_path / "leases").is_held(
        "dim_l_jsd-seed0"
    )  # by its row, which is saving
    wait_for(lambda: not (steps.parent / "in_use").exists())  # its row was ended with it
    done = len(steps.read_text().splitlines())
    resumed = start(tmp_path, steps=done + 3, rows="dim_l_jsd")
    assert resumed.wait(timeout=60) == 0
    assert steps.read_text().splitlines() == [str(n) for n in range(1, done + 4)]
    assert row(json.loads((tmp_path / "table1.json").read_text()), "dim_l_jsd")["metrics"]


@pytest.mark.slow
def test_a_stopped_table_stops_its_row_and_ends_with_143(tmp_path):
    process = start(tmp_path, steps=10_000, rows="dim_l_jsd")
    run = tmp_path / "runs/dim_l_jsd-seed0"
    wait_for(lambda: (run / "steps.txt").exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert not (run / "in_use").exists()
    assert not (tmp_path / "rows").exists()
    run_table(tmp_path, rows="dim_l_infonce")
    table = json.loads((tmp_path / "table1.json").read_text())
    assert row(table, "dim_l_jsd")["gaps"] == ["not finished: it was stopped"]


def test_a_run_that_another_process_holds_is_left_to_it(tmp_path):
    plan = plan_of(tmp_path, rows="dim_l_jsd")
    runner = Runner(plan, lambda: write(plan), PROGRAM)
    lease = runner._leases.acquire("dim_l_jsd-seed0")
    runner.run()
    table = json.loads((tmp_path / "table1.json").read_text())
    assert row(table, "dim_l_jsd")["gaps"] == ["not finished: it is running"]
    lease.release()
