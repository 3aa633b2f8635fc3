"""A table's folder with files that are damaged or written by somebody else."""

import json
import os
import sys

import fake_program
import pytest

from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, RunError
from dim_tf.tables import records
from dim_tf.tables.leases import LeaseFolder
from dim_tf.tables.plan import make_plan, result_settings
from dim_tf.tables.runner import Runner, raise_if_failed
from dim_tf.tables.writers import write

PROGRAM = (sys.executable, "-S", fake_program.__file__)
ROW = "dim_l_jsd"


def plan_of(folder, rows=ROW):
    settings = {"table": "1", "rows": rows, "dataset": "cifar10", "run_dir": str(folder)}
    return make_plan(Experiment.of(name="t", **settings), settings)


def valid_record(job):
    """A record as a run writes it."""
    evaluation = {
        "measures": {},
        "protocol": {"step": 2, "budget_steps": 2},
        "references": {"pixels": {"mlp_probe": {"pixels": 0.25}}},
        "mlp_probe": {"conv": 0.5, "fc": 0.5, "global": None},
        "svm": {"conv": 0.5},
    }
    texts = dict.fromkeys(("machine", "date", "command", "attempt"), "a")
    return {
        "row": job.row.key,
        "seed": 0,
        "settings": result_settings(job.experiment),
        "measures": list(job.experiment.evaluation.measure_names),
        "evaluation": evaluation,
        "failed": {},
        "cost": {"train": 2.5},
        "versions": {"keras": "3"},
        **texts,
    }


def write_record(plan, **changed):
    job = plan.jobs[0]
    path = records.record_path(plan.folder, job.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(valid_record(job) | changed))
    return path


DAMAGED = [
    {"settings": []},
    {"settings": None},
    {"settings": {"seed": [1]}},
    {"evaluation": []},
    {"evaluation": 5},
    {"evaluation": {"mlp_probe": [0.5]}},
    {"evaluation": {"mlp_probe": "0.5"}},
    {"evaluation": {"protocol": []}},
    {"evaluation": {"references": [1]}},
    {"evaluation": {"references": {"pixels": [1]}}},
    {"evaluation": {"references": {"pixels": {"mlp_probe": {"pixels": "x"}}}}},
    {"evaluation": {}},
    {"failed": []},
    {"failed": {"train": 1}},
    {"measures": "mlp"},
    {"measures": [["mlp"]]},
    {"seed": "0"},
    {"seed": True},
    {"cost": {"train": "x"}},
    {"cost": {"train": -1}},
    {"cost": []},
    {"versions": {"keras": 3}},
    {"versions": []},
    {"trained": {"machine": "a"}},
    {"trained": [1]},
    {"machine": None},
    {"date": 5},
    {"attempt": []},
    {"unknown": 1},
]


def refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_valid_record_is_read_and_shown(tmp_path):
    plan = plan_of(tmp_path)
    write_record(plan)
    assert records.read(plan, plan.jobs[0]).cost == {"train": 2.5}
    write(plan)
    table = json.loads((tmp_path / "table1.json").read_text())
    row = next(row for row in table["rows"] if row["row"] == ROW)
    assert row["metrics"]["mlp_probe/fc"]["mean"] == 0.5


@pytest.mark.parametrize("changed", DAMAGED, ids=str)
def test_an_invalid_record_is_refused_when_its_row_is_asked_for(changed, tmp_path):
    plan = plan_of(tmp_path)
    path = write_record(plan, **changed)
    message = refusal(Runner(plan, lambda: None, PROGRAM).run)
    assert message.startswith(f"{path} is not a valid record (")
    assert message.endswith("remove it, or give another --run_dir")


@pytest.mark.parametrize("changed", DAMAGED, ids=str)
def test_an_invalid_record_is_a_gap_when_its_row_is_not_asked_for(changed, tmp_path):
    write_record(plan_of(tmp_path), **changed)
    plan = plan_of(tmp_path, "dim_l_infonce")
    plan.jobs[:] = records.without_known_references(plan)
    write(plan)
    table = json.loads((tmp_path / "table1.json").read_text())
    row = next(row for row in table["rows"] if row["row"] == ROW)
    assert "is not a valid record" in row["gaps"][0]


@pytest.mark.parametrize("content", ["[" * 100_000, "", "\0", '{"row": 1e400}', "[]", "null"])
def test_a_file_that_is_not_a_record_is_refused(content, tmp_path):
    plan = plan_of(tmp_path)
    write_record(plan).write_text(content)
    assert "is not a valid record" in refusal(records.read, plan, plan.jobs[0])


def test_a_record_without_metrics_and_failures_is_a_gap(tmp_path):
    plan = plan_of(tmp_path)
    write_record(plan, measures=[], evaluation={})
    write(plan)
    assert "its record has no metrics" in (tmp_path / "table1.md").read_text()


LEASES = ["", "[]", "{}", "null", "5", '"x"', "[" * 100_000, '{"machine": 5}', "\xff", '{"a": 1']


@pytest.mark.parametrize("content", LEASES, ids=lambda content: content[:9])
def test_a_damaged_lease_does_not_keep_its_row_from_being_run(content, tmp_path):
    """Else the table would end with status 0 and without it."""
    plan = plan_of(tmp_path)
    lease = tmp_path / "leases" / f"{plan.jobs[0].name}.lease1"
    lease.parent.mkdir()
    lease.write_text(content, encoding="latin-1")
    os.utime(lease, (0, 0))
    assert LeaseFolder(lease.parent).acquire(plan.jobs[0].name) is not None


def test_an_empty_lease_of_a_killed_process_does_not_keep_its_row_from_being_run(tmp_path):
    plan = plan_of(tmp_path)
    lease = tmp_path / "leases" / f"{plan.jobs[0].name}.lease1"
    lease.parent.mkdir()
    lease.touch()  # just now
    Runner(plan, lambda: write(plan), PROGRAM).run()
    assert records.read(plan, plan.jobs[0]).covers(plan.jobs[0])


def test_a_lease_is_never_seen_before_it_is_complete(tmp_path, monkeypatch):
    seen = []
    link = os.link

    def observed_link(source, target):
        seen.append(sorted(path.name for path in tmp_path.glob("row.*")))
        link(source, target)
        seen.append(json.loads((tmp_path / "row.lease1").read_text())["process"])

    monkeypatch.setattr(os, "link", observed_link)
    assert LeaseFolder(tmp_path).acquire("row") is not None
    assert seen == [[], os.getpid()]


@pytest.mark.parametrize("content", ['{"train": "x"}', '{"train": -1}', '{"a": [1]}', "[1]", "{"])
def test_damaged_seconds_are_refused_before_anything_is_trained(content, tmp_path):
    plan = plan_of(tmp_path)
    run = plan.jobs[0].experiment.run_path
    run.mkdir(parents=True)
    (run / "seconds.json").write_text(content)
    message = refusal(Runner(plan, lambda: None, PROGRAM).run)
    assert str(run / "seconds.json") in message
    assert "remove it, which forgets what the stages took" in message
    assert not (run / "stages.txt").exists()


EVALUATIONS = ['{"protocol": {}}', '{"protocol": []}', '{"protocol": {"step": "2"}}', "[]", "5"]


@pytest.mark.parametrize("content", EVALUATIONS)
def test_an_invalid_evaluation_is_a_failure_of_its_row(content, tmp_path, monkeypatch):
    plan = plan_of(tmp_path)
    runner = Runner(plan, lambda: None, PROGRAM)

    def run_stage(*_):
        folder = plan.jobs[0].experiment.run_path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(content)
        return ""

    monkeypatch.setattr(runner, "_run_stage", run_stage)
    runner.run()
    with pytest.raises(RunError, match=r"1 row failed: .*evaluation.json cannot be read"):
        raise_if_failed(plan)
