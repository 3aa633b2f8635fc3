"""A table's folder whose files were damaged, or written by somebody else."""

import json
import os
import sys

import fake_row
import pytest

from dim_tf.errors import InputError, RunError
from dim_tf.experiment import Experiment
from dim_tf.tables import records
from dim_tf.tables.claims import Claims
from dim_tf.tables.plan import identity, make_plan
from dim_tf.tables.work import Worker, check_all_ran
from dim_tf.tables.written import write

PROGRAM = (sys.executable, "-S", fake_row.__file__)
ROW = "dim_l_jsd"


def plan_of(folder, rows=ROW):
    given = {"table": "1", "rows": rows, "dataset": "cifar10", "run_dir": str(folder)}
    return make_plan(Experiment.of(name="t", **given), given)


def good_record(job):
    """As a run writes it."""
    evaluation = {
        "measures": {},
        "protocol": {"step": 2, "budget_steps": 2},
        "floors": {"pixels": {"mlp_probe": {"pixels": 0.25}}},
        "mlp_probe": {"conv": 0.5, "fc": 0.5, "global": None},
        "svm": {"conv": 0.5},
    }
    texts = dict.fromkeys(("machine", "date", "command", "attempt"), "a")
    return {
        "row": job.row.key,
        "seed": 0,
        "settings": identity(job.experiment),
        "measures": list(job.experiment.evaluation.measure_names),
        "evaluation": evaluation,
        "failed": {},
        "cost": {"train": 2.5},
        "versions": {"keras": "3"},
        **texts,
    }


def written_record(plan, **changed):
    job = plan.jobs[0]
    path = records.path_of(plan.folder, job.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(good_record(job) | changed))
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
    {"evaluation": {"floors": [1]}},
    {"evaluation": {"floors": {"pixels": [1]}}},
    {"evaluation": {"floors": {"pixels": {"mlp_probe": {"pixels": "x"}}}}},
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


def told(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_the_good_record_is_read_and_shown(tmp_path):
    plan = plan_of(tmp_path)
    written_record(plan)
    assert records.read(plan, plan.jobs[0]).cost == {"train": 2.5}
    write(plan)
    table = json.loads((tmp_path / "table1.json").read_text())
    row = next(row for row in table["rows"] if row["row"] == ROW)
    assert row["figures"]["mlp_probe/fc"]["mean"] == 0.5


@pytest.mark.parametrize("changed", DAMAGED, ids=str)
def test_a_record_of_another_form_is_told_when_it_is_asked_for(changed, tmp_path):
    plan = plan_of(tmp_path)
    path = written_record(plan, **changed)
    said = told(Worker(plan, lambda: None, PROGRAM).work)
    assert said.startswith(f"{path} is no row's figures (")
    assert said.endswith("remove it, or give another --run_dir")


@pytest.mark.parametrize("changed", DAMAGED, ids=str)
def test_and_is_a_gap_in_the_table_when_it_is_not(changed, tmp_path):
    written_record(plan_of(tmp_path), **changed)
    plan = plan_of(tmp_path, "dim_l_infonce")
    plan.jobs[:] = records.without_known_floors(plan)
    write(plan)
    table = json.loads((tmp_path / "table1.json").read_text())
    row = next(row for row in table["rows"] if row["row"] == ROW)
    assert "is no row's figures" in row["gaps"][0]


@pytest.mark.parametrize("content", ["[" * 100_000, "", "\0", '{"row": 1e400}', "[]", "null"])
def test_a_record_that_is_no_record_at_all(content, tmp_path):
    plan = plan_of(tmp_path)
    written_record(plan).write_text(content)
    assert "is no row's figures" in told(records.read, plan, plan.jobs[0])


def test_a_record_without_figures_and_failures_is_a_gap(tmp_path):
    plan = plan_of(tmp_path)
    written_record(plan, measures=[], evaluation={})
    write(plan)
    assert "its record has no figures" in (tmp_path / "table1.md").read_text()


CLAIMS = ["", "[]", "{}", "null", "5", '"x"', "[" * 100_000, '{"machine": 5}', "\xff", '{"a": 1']


@pytest.mark.parametrize("content", CLAIMS, ids=lambda content: content[:9])
def test_a_damaged_claim_does_not_keep_its_row_from_being_run(content, tmp_path):
    """Else the table would end with status 0 and without it."""
    plan = plan_of(tmp_path)
    claim = tmp_path / "claims" / f"{plan.jobs[0].name}.claim1"
    claim.parent.mkdir()
    claim.write_text(content, encoding="latin-1")
    os.utime(claim, (0, 0))
    assert Claims(claim.parent).take(plan.jobs[0].name) is not None


def test_an_empty_claim_of_a_killed_process_does_not_keep_its_row_from_being_run(tmp_path):
    plan = plan_of(tmp_path)
    claim = tmp_path / "claims" / f"{plan.jobs[0].name}.claim1"
    claim.parent.mkdir()
    claim.touch()  # just now
    Worker(plan, lambda: write(plan), PROGRAM).work()
    assert records.read(plan, plan.jobs[0]).has(plan.jobs[0])


def test_a_claim_is_never_seen_before_it_is_whole(tmp_path, monkeypatch):
    seen = []
    link = os.link

    def looked(source, target):
        seen.append(sorted(path.name for path in tmp_path.glob("row.*")))
        link(source, target)
        seen.append(json.loads((tmp_path / "row.claim1").read_text())["process"])

    monkeypatch.setattr(os, "link", looked)
    assert Claims(tmp_path).take("row") is not None
    assert seen == [[], os.getpid()]


@pytest.mark.parametrize("content", ['{"train": "x"}', '{"train": -1}', '{"a": [1]}', "[1]", "{"])
def test_damaged_seconds_are_told_before_anything_is_trained(content, tmp_path):
    plan = plan_of(tmp_path)
    run = plan.jobs[0].experiment.run_path
    run.mkdir(parents=True)
    (run / "seconds.json").write_text(content)
    said = told(Worker(plan, lambda: None, PROGRAM).work)
    assert str(run / "seconds.json") in said
    assert "remove it, which forgets what the stages took" in said
    assert not (run / "stages.txt").exists()


EVALUATIONS = ['{"protocol": {}}', '{"protocol": []}', '{"protocol": {"step": "2"}}', "[]", "5"]


@pytest.mark.parametrize("content", EVALUATIONS)
def test_an_evaluation_of_another_form_is_a_failure_of_its_row(content, tmp_path, monkeypatch):
    plan = plan_of(tmp_path)
    worker = Worker(plan, lambda: None, PROGRAM)

    def process(*_):
        folder = plan.jobs[0].experiment.run_path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(content)
        return ""

    monkeypatch.setattr(worker, "_process", process)
    worker.work()
    with pytest.raises(RunError, match=r"1 row failed: .*evaluation.json cannot be read"):
        check_all_ran(plan)
