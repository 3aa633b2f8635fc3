"""Rows as processes: resumed, shared, stopped, failed. The program is a fake one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_row
import pytest

from dim_tf.errors import InputError, RunError
from dim_tf.experiment import Experiment
from dim_tf.tables import records
from dim_tf.tables.claims import Claim, ClaimLost, Claims
from dim_tf.tables.plan import make_plan
from dim_tf.tables.summary import summarise
from dim_tf.tables.work import Worker, check_all_ran, command_of, flags_of, machine
from dim_tf.tables.written import write

PROGRAM = (sys.executable, "-S", fake_row.__file__)
OTHER_PROCESS = """
import sys
from dim_tf.experiment import Experiment
from dim_tf.tables import work, written
from dim_tf.tables.plan import make_plan
given = eval(sys.argv[1])
plan = make_plan(Experiment.of(name="t", **given), given)
try:
    work.Worker(plan, lambda: written.write(plan), sys.argv[2:]).work()
except work.Stopped:
    sys.exit(143)
"""


def given(folder, **others):
    return {
        "table": "1",
        "rows": "dim_l_infonce,dim_l_jsd",
        "dataset": "cifar10",
        "run_dir": str(folder),
        **others,
    }


def plan_of(folder, **others):
    settings = given(folder, **others)
    return make_plan(Experiment.of(name="t", **settings), settings)


def work(folder, **others):
    plan = plan_of(folder, **others)
    Worker(plan, lambda: write(plan), PROGRAM).work()
    return json.loads((folder / "table1.json").read_text())


def started(folder, steps=2, **others):
    code = [sys.executable, "-c", OTHER_PROCESS, repr(given(folder, **others)), *PROGRAM]
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
    table = work(tmp_path, table_seeds="0,1", results=str(tmp_path / "results"))
    found = row(table, "dim_l_jsd")
    figure = found["figures"]["mlp_probe/fc"]
    assert (figure["mean"], figure["std"]) == pytest.approx((0.55, 0.0707107), rel=1e-4)
    assert figure["values"] == [0.5, 0.6]
    assert found["paper"]["mlp_probe/fc"] == pytest.approx(0.7362)
    assert row(table, "vae")["gaps"][0].startswith(("not run", "this version has no --model=vae"))
    assert table["floors"]["pixels"] == {"mlp_probe/conv": 0.25}
    assert table["floors"]["random_encoder"]["mlp_probe/fc"] == 0.125
    work(tmp_path, table_seeds="0,1")
    assert stages(tmp_path, "dim_l_jsd-seed1") == ["train mlp", "evaluate mlp"]
    copies = tmp_path / "results" / tmp_path.name
    assert (copies / "table1.md").read_text() == (tmp_path / "table1.md").read_text()
    record = json.loads((copies / "rows/dim_l_jsd-seed1.json").read_text())
    assert str(tmp_path) not in json.dumps(record)  # nothing of this machine's folders
    assert record["settings"]["seed"] == 1


def test_a_copy_of_finished_rows_is_enough(tmp_path):
    results = str(tmp_path / "results")
    work(tmp_path / "here/table", results=results)
    table = work(tmp_path / "there/table", results=results)
    assert not (tmp_path / "there/table/runs").exists()
    assert row(table, "dim_l_jsd")["figures"]


def test_a_row_that_is_trained_anew_is_measured_by_all_that_its_copy_was(tmp_path):
    results = str(tmp_path / "results")
    work(tmp_path / "here/table", rows="dim_l_jsd", results=results)
    work(tmp_path / "there/table", rows="dim_l_jsd", results=results, table="1", measures="svm")
    assert stages(tmp_path / "there/table", "dim_l_jsd-seed0")[0] == "train mlp,svm"
    for folder in (tmp_path / "there/table", tmp_path / "results/table"):
        record = json.loads((folder / "rows/dim_l_jsd-seed0.json").read_text())
        assert record["measures"] == ["mlp", "svm"]


def test_figures_of_another_step_do_not_replace_those_there_are(tmp_path):
    work(tmp_path, rows="dim_l_jsd")
    path = tmp_path / "rows/dim_l_jsd-seed0.json"
    record = json.loads(path.read_text())
    record["evaluation"]["protocol"]["step"] = 1
    path.write_text(json.dumps(record))
    table = work(tmp_path, rows="dim_l_jsd", measures="svm")
    record = json.loads(path.read_text())
    assert record["measures"] == ["mlp"]
    assert "mlp_probe" in record["evaluation"]
    (told,) = row(table, "dim_l_jsd")["gaps"]
    assert told.startswith("evaluate failed: its other figures are of step 1 and not 2")


def test_a_failure_after_the_weights_are_gone_leaves_the_figures(tmp_path, monkeypatch):
    """Those of the weights that are trained then never stand beside those of the old ones."""
    run, path = tmp_path / "runs/dim_l_jsd-seed0", tmp_path / "rows/dim_l_jsd-seed0.json"
    work(tmp_path, rows="dim_l_jsd")
    shutil.rmtree(run)
    for stage, asked in (("train", "train mlp,svm"), ("evaluate", "evaluate mlp,svm")):
        monkeypatch.setenv("FAKE_FAILS", stage)
        table = work(tmp_path, rows="dim_l_jsd", measures="svm")
        assert row(table, "dim_l_jsd")["figures"]
        record = json.loads(path.read_text())
        assert record["measures"] == ["mlp"]
        assert list(record["failed"]) == [stage]
        assert stages(tmp_path, "dim_l_jsd-seed0")[-1] == asked
    monkeypatch.delenv("FAKE_FAILS")
    work(tmp_path, rows="dim_l_jsd", measures="svm")
    assert stages(tmp_path, "dim_l_jsd-seed0")[-1] == "evaluate mlp,svm"
    record = json.loads(path.read_text())
    assert (record["measures"], record["failed"]) == (["mlp", "svm"], {})
    work(tmp_path, rows="dim_l_jsd", measures="knn")
    assert stages(tmp_path, "dim_l_jsd-seed0")[-1] == "evaluate knn"


def test_floors_are_measured_once_for_all_commands(tmp_path):
    results = str(tmp_path / "results")
    work(tmp_path / "table", rows="dim_l_jsd", results=results)
    for folder in (tmp_path / "table", tmp_path / "elsewhere" / "table"):
        floors = [
            job.experiment.evaluation.references
            for measures in ("mlp", "mlp,svm", "mlp,knn")
            for job in records.without_known_floors(
                plan_of(folder, rows="dim_l_dv,dim_l_jsd", measures=measures, results=results)
            )
        ]
        # Nothing has floors of svm, and nobody has those of knn.
        assert floors == [False, False, False, False, True, False]
    alone = records.without_known_floors(plan_of(tmp_path / "table", rows="dim_l_jsd"))
    assert alone[0].experiment.evaluation.references  # its own
    others = records.without_known_floors(
        plan_of(tmp_path / "table", rows="dim_l_dv", probe_epochs=5, results=results)
    )
    assert others[0].experiment.evaluation.references  # of another probe


def test_floors_are_those_of_the_same_start_weights(tmp_path):
    results = str(tmp_path / "results")
    work(tmp_path / "table", rows="dim_l_jsd", results=results)
    for other in ({"max_features": 1000}, {"init_from": "runs/before"}):
        plan = plan_of(tmp_path / "other", rows="dim_l_dv", results=results, **other)
        assert records.without_known_floors(plan)[0].experiment.evaluation.references, other


def test_a_table_shows_the_floors_that_another_one_measured(tmp_path):
    work(tmp_path, rows="supervised")
    plan = plan_of(tmp_path, table="gamma", rows="")
    assert not any(
        job.experiment.evaluation.references for job in records.without_known_floors(plan)
    )
    assert summarise(plan).floors["pixels"][0] == 0.25
    assert summarise(plan_of(tmp_path, table="gamma", rows="", precision="bfloat16")).floors == {}


def test_a_table_without_measures_of_floors_leaves_them_to_others(tmp_path):
    """A row that was measured first by such a table does not count as having them."""
    plan = plan_of(tmp_path, table="3", rows="dim_l_jsd")
    assert not records.without_known_floors(plan)[0].experiment.evaluation.references
    work(tmp_path, rows="dim_l_jsd")
    path = tmp_path / "rows/dim_l_jsd-seed0.json"
    record = json.loads(path.read_text())
    record["evaluation"]["floors"] = {"random_encoder": {}, "pixels": {}}
    path.write_text(json.dumps(record))
    assert records.without_known_floors(plan_of(tmp_path, rows="vae"))[
        0
    ].experiment.evaluation.references


def test_a_failed_floor_is_told_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LACKS_FLOOR", "mlp")
    results = tmp_path / "results"
    table = work(tmp_path, rows="dim_l_jsd", results=str(results))
    assert row(table, "dim_l_jsd")["gaps"] == ["floors failed: mlp of raw pixels: it diverged"]
    assert row(table, "dim_l_jsd")["figures"]
    with pytest.raises(RunError, match="mlp of raw pixels"):
        check_all_ran(plan_of(tmp_path, rows="dim_l_jsd"))
    assert not (results / tmp_path.name / "rows").exists()
    monkeypatch.delenv("FAKE_LACKS_FLOOR")
    table = work(tmp_path, rows="dim_l_jsd")
    assert row(table, "dim_l_jsd")["gaps"] == []
    assert table["floors"]


def test_what_is_missing_is_measured_on_the_same_run(tmp_path):
    work(tmp_path, rows="dim_l_jsd")
    work(tmp_path, rows="dim_l_jsd", measures="mlp,svm")
    assert stages(tmp_path, "dim_l_jsd-seed0")[2:] == ["train svm", "evaluate svm"]
    record = json.loads((tmp_path / "rows/dim_l_jsd-seed0.json").read_text())
    assert record["measures"] == ["mlp", "svm"]
    assert {"mlp_probe", "svm"} <= record["evaluation"].keys()
    assert "--measures=mlp,svm" in record["command"]
    assert (tmp_path / "runs/dim_l_jsd-seed0/steps.txt").read_text() == "1\n2\n"


def test_other_settings_are_refused(tmp_path):
    work(tmp_path, rows="dim_l_jsd")
    with pytest.raises(InputError, match="epochs: 20 -> 3"):
        work(tmp_path, epochs=3)


def test_a_checkpoint_of_a_longer_budget_is_not_recorded_as_a_shorter_one(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_STEP", "3000")
    table = work(tmp_path, rows="dim_l_jsd", epochs=1)
    told = row(table, "dim_l_jsd")["gaps"]
    assert len(told) == 1
    assert "its checkpoint is of step 3000, and --epochs and --steps end at step 2" in told[0]
    assert row(table, "dim_l_jsd")["figures"] == {}
    monkeypatch.delenv("FAKE_STEP")
    table = work(tmp_path, rows="dim_l_jsd", epochs=30)  # the budget that it was begun with
    assert row(table, "dim_l_jsd")["figures"]


def test_a_failed_row_is_a_gap_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAILS", "train")
    table = work(tmp_path, rows="dim_l_jsd")
    told = "train failed: RUN_DIR/runs/dim_l_jsd-seed0 was to fail"
    assert row(table, "dim_l_jsd")["gaps"] == [told]
    assert stages(tmp_path, "dim_l_jsd-seed0") == ["train mlp"]
    with pytest.raises(RunError, match="was to fail"):
        check_all_ran(plan_of(tmp_path, rows="dim_l_jsd"))
    monkeypatch.delenv("FAKE_FAILS")
    table = work(tmp_path, rows="dim_l_jsd")
    assert row(table, "dim_l_jsd")["figures"]
    assert row(table, "dim_l_jsd")["gaps"] == []
    check_all_ran(plan_of(tmp_path, rows="dim_l_jsd"))


def test_a_damaged_evaluation_is_a_failed_row(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_DAMAGES", "yes")
    table = work(tmp_path, rows="dim_l_jsd")
    (told,) = row(table, "dim_l_jsd")["gaps"]
    assert told.startswith("evaluate failed: evaluation.json cannot be read (")
    monkeypatch.delenv("FAKE_DAMAGES")
    assert row(work(tmp_path, rows="dim_l_jsd"), "dim_l_jsd")["figures"]


def test_a_failure_leaves_what_was_measured_before(tmp_path, monkeypatch):
    work(tmp_path, rows="dim_l_jsd")
    monkeypatch.setenv("FAKE_FAILS", "train")
    table = work(tmp_path, rows="dim_l_jsd", measures="svm")
    assert row(table, "dim_l_jsd")["figures"]
    record = json.loads((tmp_path / "rows/dim_l_jsd-seed0.json").read_text())
    assert record["measures"] == ["mlp"]
    assert list(record["failed"]) == ["train"]


def test_a_row_that_was_taken_over_is_ended_at_once(tmp_path, monkeypatch):
    def lost(claim):
        raise ClaimLost

    monkeypatch.setattr(Claim, "beat", lost)
    monkeypatch.setenv("FAKE_STEPS", "10000")
    table = work(tmp_path, rows="dim_l_jsd")
    assert row(table, "dim_l_jsd")["figures"] == {}
    assert not (tmp_path / "rows").exists()


def test_a_failed_measure_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LACKS", "svm")
    table = work(tmp_path, rows="dim_l_jsd", measures="svm", results=str(tmp_path / "results"))
    assert row(table, "dim_l_jsd")["figures"]
    assert row(table, "dim_l_jsd")["gaps"] == ["svm failed: it diverged"]
    assert not (tmp_path / "results" / tmp_path.name / "rows").exists()  # not finished


def test_another_tables_failed_measure_does_not_repeat_a_finished_row(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_LACKS", "svm")
    work(tmp_path, rows="dim_l_jsd", measures="svm")
    before = stages(tmp_path, "dim_l_jsd-seed0")
    table = work(tmp_path, rows="dim_l_jsd")
    assert stages(tmp_path, "dim_l_jsd-seed0") == before
    assert row(table, "dim_l_jsd")["gaps"] == []
    check_all_ran(plan_of(tmp_path, rows="dim_l_jsd"))
    work(tmp_path, rows="dim_l_jsd", measures="knn")
    record = json.loads((tmp_path / "rows/dim_l_jsd-seed0.json").read_text())
    assert record["failed"] == {"svm": "it diverged"}  # carried over


def test_what_was_finished_just_before_it_was_claimed_is_not_run_again(tmp_path):
    work(tmp_path, rows="dim_l_jsd")
    record = tmp_path / "rows/dim_l_jsd-seed0.json"
    finished = record.read_text()
    record.unlink()

    class Late(Claims):
        def take(self, name):
            record.write_text(finished)
            return super().take(name)

    plan = plan_of(tmp_path, rows="dim_l_jsd")
    Worker(plan, lambda: None, PROGRAM, Late(tmp_path / "claims")).work()
    assert stages(tmp_path, "dim_l_jsd-seed0") == ["train mlp", "evaluate mlp"]


@pytest.mark.slow
def test_two_processes_share_the_rows(tmp_path):
    rows = "dim_l_infonce,dim_l_jsd,dim_l_dv"
    both = [started(tmp_path, steps=5, rows=rows) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    table = json.loads((tmp_path / "table1.json").read_text())
    for key in rows.split(","):
        assert stages(tmp_path, f"{key}-seed0") == ["train mlp", "evaluate mlp"]
        assert row(table, key)["figures"]


@pytest.mark.slow
def test_a_killed_table_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SAVES", "1")
    process = started(tmp_path, steps=10_000, rows="dim_l_jsd")
    steps = tmp_path / "runs/dim_l_jsd-seed0/steps.txt"
    wait_for(lambda: steps.exists() and len(steps.read_text().splitlines()) > 2)
    process.kill()
    process.wait()
    assert Claims(tmp_path / "claims").is_held("dim_l_jsd-seed0")  # by its row, which is saving
    wait_for(lambda: not (steps.parent / "in_use").exists())  # its row was ended with it
    done = len(steps.read_text().splitlines())
    resumed = started(tmp_path, steps=done + 3, rows="dim_l_jsd")
    assert resumed.wait(timeout=60) == 0
    assert steps.read_text().splitlines() == [str(n) for n in range(1, done + 4)]
    assert row(json.loads((tmp_path / "table1.json").read_text()), "dim_l_jsd")["figures"]


@pytest.mark.slow
def test_a_stopped_table_stops_its_row_and_ends_with_143(tmp_path):
    process = started(tmp_path, steps=10_000, rows="dim_l_jsd")
    run = tmp_path / "runs/dim_l_jsd-seed0"
    wait_for(lambda: (run / "steps.txt").exists())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert not (run / "in_use").exists()
    assert not (tmp_path / "rows").exists()
    work(tmp_path, rows="dim_l_infonce")
    table = json.loads((tmp_path / "table1.json").read_text())
    assert row(table, "dim_l_jsd")["gaps"] == ["not finished: it was stopped"]


def test_a_run_that_another_holds_is_left_to_it(tmp_path):
    plan = plan_of(tmp_path, rows="dim_l_jsd")
    worker = Worker(plan, lambda: write(plan), PROGRAM)
    claim = worker._claims.take("dim_l_jsd-seed0")
    worker.work()
    table = json.loads((tmp_path / "table1.json").read_text())
    assert row(table, "dim_l_jsd")["gaps"] == ["not finished: it is being run"]
    claim.release()


def test_flags_are_what_differs_from_the_defaults(tmp_path):
    job = plan_of(tmp_path, rows="dim_l_jsd", download=False, data_dir="/secret").jobs[0]
    flags = flags_of(job.experiment, ["svm"])
    assert {"--download=false", "--dataset=cifar10", "--measures=svm"} <= set(flags)
    assert not any(flag.startswith(("--table", "--batch_size")) for flag in flags)
    assert "/secret" not in command_of(job)
    assert str(tmp_path) not in command_of(job)


@pytest.mark.parametrize(
    ("visible", "told"), [(None, True), ("0", True), ("", False), ("-1", False)]
)
def test_a_machine_has_the_gpus_that_are_not_hidden(tmp_path, monkeypatch, visible, told):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho A100\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine().endswith(", A100") == told
