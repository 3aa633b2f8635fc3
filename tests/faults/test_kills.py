"""kill -9 at random moments: what is there stays whole, and the next call goes on."""

import random
import shutil
import signal

import fault_injection as faults
import numpy as np
import pytest

from dim_tf.experiment import Experiment
from dim_tf.training import metrics_file

pytestmark = pytest.mark.long

PIECES, KILLS = 4, 5  # 20 moments of each stage


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, faults.run_timed(folder, *faults.TRAIN)


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained[0], folder)
    return folder, faults.run_timed(folder, *faults.EVALUATE)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(trained[0], folder)
    return folder, faults.run_timed(folder, *faults.EXPORT)


def kills(folder, piece, seconds, arguments, check):
    """Kills a run `KILLS` times one after the other; the moments, in seconds."""
    moments = [random.Random(100 * piece + n).uniform(0, seconds) for n in range(KILLS)]
    records = []
    for moment in moments:
        status = faults.run_and_signal(folder, signal.SIGKILL, moment, *arguments)
        assert status in (0, -signal.SIGKILL)
        records.append({"seconds": round(moment, 2), "killed": status != 0, **check()})
    return records


@pytest.mark.parametrize("piece", range(PIECES))
def test_training(piece, trained, tmp_path):
    straight, seconds = trained
    folder = tmp_path / "run"
    metrics = faults.run_folder(folder) / "metrics.jsonl"

    def check():
        lines = metrics_file.read(metrics)
        step = 0
        if list(faults.run_folder(folder).glob("checkpoints/ckpt-*.index")):
            step = faults.newest_step(folder)
        return {"step": lines[-1]["step"] if lines else 0, "checkpoint": step}

    # A fraction of the time, so that all kills come before the end.
    records = kills(folder, piece, seconds / 3, faults.TRAIN, check)
    faults.run_to_success(folder, *faults.TRAIN)
    assert faults.losses(folder) == faults.losses(straight)
    assert faults.leftovers(folder) == []
    faults.record_fault(
        f"kill -9 in training, piece {piece}", kills=records, losses="as undisturbed"
    )


def test_training_by_minutes(tmp_path):
    """The length is measured before the first checkpoint, and then fixed."""
    folder, straight = tmp_path / "run", tmp_path / "straight"
    by_minutes = ["--mode=train", "--minutes=1", "--checkpoint_every=10", "--schedule=cosine"]
    lengths = set()

    def check():
        path = faults.run_folder(folder) / "experiment.json"
        if path.exists():
            lengths.add(Experiment.from_json(path.read_text()).training.steps)
        return {"steps": sorted(lengths)}

    records = kills(folder, 0, 40, by_minutes, check)
    faults.run_to_success(folder, *by_minutes)
    (steps,) = lengths
    faults.run_to_success(straight, *by_minutes[:1], *by_minutes[2:], *_steps(steps))
    assert faults.losses(folder) == faults.losses(straight)
    assert len(faults.losses(folder)) == steps
    assert faults.leftovers(folder) == []
    faults.record_fault("kill -9 in training by minutes", kills=records, losses="as undisturbed")


def _steps(steps):
    return [f"--steps={steps}", "--epochs=1000000"]


@pytest.mark.parametrize("piece", range(PIECES))
def test_evaluation(piece, trained, evaluated, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    before = faults.files_of(faults.run_folder(folder) / "checkpoints")

    def check():
        report = faults.run_folder(folder) / "report.html"
        written = (faults.run_folder(folder) / "evaluation.json").exists()
        if written:
            assert faults.metrics(folder) == faults.metrics(evaluated[0])
        if report.exists():
            assert report.read_text().rstrip().endswith("</html>")
        return {"evaluation.json": written, "report.html": report.exists()}

    records = kills(folder, piece, evaluated[1], faults.EVALUATE, check)
    faults.run_to_success(folder, *faults.EVALUATE)
    assert check() == {"evaluation.json": True, "report.html": True}
    assert faults.files_of(faults.run_folder(folder) / "checkpoints") == before
    assert faults.leftovers(folder) == []
    faults.record_fault(
        f"kill -9 in evaluation, piece {piece}", kills=records, figures="as undisturbed"
    )


@pytest.mark.parametrize("piece", range(PIECES))
def test_export(piece, trained, exported, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    (wanted,) = faults.features(exported[0])
    names = faults.files_of(exported[0] / "exported/small/1").keys()

    def check():
        for version in (folder / "exported/small").glob("[0-9]*"):
            assert faults.files_of(version).keys() == names
        there = faults.features(folder)
        assert all(np.array_equal(one, wanted) for one in there)
        return {"versions": len(there)}

    records = kills(folder, piece, exported[1], faults.EXPORT, check)
    faults.run_to_success(folder, *faults.EXPORT)
    assert check()["versions"] > 0
    assert faults.leftovers(folder / "exported/small") == []
    faults.record_fault(
        f"kill -9 in export, piece {piece}", kills=records, features="as undisturbed"
    )
