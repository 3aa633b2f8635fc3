"""Flipped bits in the files of a run folder: recovered, or one line."""

import random
import shutil

import fault_injection as faults
import pytest

pytestmark = pytest.mark.long

TO_20 = [*faults.TRAIN, "--steps=20"]
TO_30 = [*faults.TRAIN, "--steps=30"]
OFFSETS = 3


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run of 20 steps with the checkpoints 10 and 20, evaluated."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    faults.run_to_success(folder, *TO_20)
    faults.run_to_success(folder, *faults.EVALUATE)
    return folder


@pytest.fixture(scope="module")
def straight(begun, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight") / "run"
    shutil.copytree(begun, folder)
    faults.run_to_success(folder, *TO_30)
    return folder


def damaged(begun, folder, name, number):
    """A copy of the run with one bit flipped, at a random place of a file; the place."""
    shutil.copytree(begun, folder)
    path = faults.run_folder(folder) / name
    content = bytearray(path.read_bytes())
    place = random.Random(f"{name} {number}").randrange(len(content))
    content[place] ^= 1 << random.Random(number).randrange(8)
    path.write_bytes(content)
    return place


@pytest.mark.parametrize("number", range(OFFSETS))
@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001", "json"])
def test_newest_checkpoint(begun, straight, tmp_path, ending, number):
    folder = tmp_path / "run"
    place = damaged(begun, folder, f"checkpoints/ckpt-20.{ending}", number)
    printed = faults.run_to_success(folder, *TO_30)
    (warning,) = [line for line in printed.splitlines() if line.startswith("checkpoints: ")]
    assert f"ckpt-20.{ending} is damaged" in warning or ending == "json"
    assert "ckpt-10 is used instead" in warning
    assert "from step 10 to step 30" in printed
    assert faults.losses(folder) == faults.losses(straight)
    name = f"flipped bit in ckpt-20.{ending}, {number}"
    faults.record_fault(name, byte=place, printed=warning, losses="as undisturbed")


def test_every_checkpoint(begun, tmp_path):
    folder = tmp_path / "run"
    damaged(begun, folder, "checkpoints/ckpt-20.index", 0)
    older = faults.run_folder(folder) / "checkpoints/ckpt-10.data-00000-of-00001"
    older.write_bytes(older.read_bytes()[:-1])
    before = faults.files_of(faults.run_folder(folder))
    errors = {}
    for stage, arguments in (("train", TO_30), ("evaluate", faults.EVALUATE)):
        status, _, stderr = faults.run(folder, *arguments)
        error = faults.error_line(stderr)
        assert status == 1
        assert "ckpt-20.index is damaged" in error
        assert "ckpt-10.data-00000-of-00001 is damaged" in error
        assert "--noresume" in error
        errors[stage] = error
    after = faults.files_of(faults.run_folder(folder))
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"experiment.json"}  # which has the new --steps
    faults.record_fault("all checkpoints damaged", errors=errors)


@pytest.mark.parametrize("number", range(OFFSETS))
def test_metrics(begun, straight, tmp_path, number):
    """A digit that is another digit is not seen; all else is."""
    folder = tmp_path / "run"
    place = damaged(begun, folder, "metrics.jsonl", number)
    printed = faults.run_to_success(folder, *TO_30)
    path = faults.run_folder(folder) / "metrics.jsonl"
    lines = path.read_text().splitlines()
    wanted = (faults.run_folder(straight) / "metrics.jsonl").read_text().splitlines()
    assert len(wanted) - 2 <= len(lines) <= len(wanted)
    if len(lines) < len(wanted):
        assert f"{path.relative_to(folder)}: " in printed
        assert "damaged lines are left out" in printed
    faults.record_fault(
        f"flipped bit in metrics.jsonl, {number}", byte=place, lines_left_out=30 - len(lines)
    )


@pytest.mark.parametrize("number", range(OFFSETS))
def test_experiment(begun, straight, tmp_path, number):
    folder = tmp_path / "run"
    place = damaged(begun, folder, "experiment.json", number)
    status, _, errors = faults.run(folder, *TO_30)
    if status == 0:  # a setting that does not make it another experiment
        assert faults.losses(folder) == faults.losses(straight)
        outcome = "losses as undisturbed"
    else:
        outcome = faults.error_line(errors)
        assert status == 2
        assert "cannot be read" in outcome or "holds another experiment" in outcome
    faults.record_fault(f"flipped bit in experiment.json, {number}", byte=place, outcome=outcome)


@pytest.mark.parametrize("number", range(OFFSETS))
def test_evaluation(begun, tmp_path, number):
    folder = tmp_path / "run"
    place = damaged(begun, folder, "evaluation.json", number)
    status, _, errors = faults.run(folder, *faults.EXPORT)
    error = faults.error_line(errors)
    assert status == 2
    assert "evaluation.json cannot be read (" in error
    faults.run_to_success(folder, *faults.EVALUATE)
    assert faults.metrics(folder) == faults.metrics(begun)
    faults.record_fault(f"flipped bit in evaluation.json, {number}", byte=place, error=error)
