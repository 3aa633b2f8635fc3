"""kill -9 at random moments: what is there stays whole, and the next call goes on."""

import random
import shutil
import signal

import fault_runs
import numpy as np
import pytest

from dim_tf.training import metrics_file

pytestmark = pytest.mark.long

PIECES, KILLS = 4, 5  # 20 moments of each stage


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, fault_runs.timed(folder, *fault_runs.TRAIN)


@pytest.fixture(scope="module")
def evaluated(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained[0], folder)
    return folder, fault_runs.timed(folder, *fault_runs.EVALUATE)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(trained[0], folder)
    return folder, fault_runs.timed(folder, *fault_runs.EXPORT)


def kills(folder, piece, seconds, arguments, check):
    """Kills a run `KILLS` times one after the other; the moments, in seconds."""
    moments = [random.Random(100 * piece + n).uniform(0, seconds) for n in range(KILLS)]
    found = []
    for moment in moments:
        status = fault_runs.signalled(folder, signal.SIGKILL, moment, *arguments)
        assert status in (0, -signal.SIGKILL)
        found.append({"seconds": round(moment, 2), "killed": status != 0, **check()})
    return found


@pytest.mark.parametrize("piece", range(PIECES))
def test_training(piece, trained, tmp_path):
    straight, seconds = trained
    folder = tmp_path / "run"
    metrics = fault_runs.run_folder(folder) / "metrics.jsonl"

    def check():
        lines = metrics_file.read(metrics)
        step = 0
        if list(fault_runs.run_folder(folder).glob("checkpoints/ckpt-*.index")):
            step = fault_runs.newest_step(folder)
        return {"step": lines[-1]["step"] if lines else 0, "checkpoint": step}

    # A share of the time, so that all kills come before the end.
    found = kills(folder, piece, seconds / 3, fault_runs.TRAIN, check)
    fault_runs.complete(folder, *fault_runs.TRAIN)
    assert fault_runs.losses(folder) == fault_runs.losses(straight)
    assert fault_runs.leftovers(folder) == []
    fault_runs.note(f"kill -9 in training, piece {piece}", kills=found, losses="as undisturbed")


@pytest.mark.parametrize("piece", range(PIECES))
def test_evaluation(piece, trained, evaluated, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    before = fault_runs.files_of(fault_runs.run_folder(folder) / "checkpoints")

    def check():
        report = fault_runs.run_folder(folder) / "report.html"
        written = (fault_runs.run_folder(folder) / "evaluation.json").exists()
        if written:
            assert fault_runs.figures(folder) == fault_runs.figures(evaluated[0])
        if report.exists():
            assert report.read_text().rstrip().endswith("</html>")
        return {"evaluation.json": written, "report.html": report.exists()}

    found = kills(folder, piece, evaluated[1], fault_runs.EVALUATE, check)
    fault_runs.complete(folder, *fault_runs.EVALUATE)
    assert check() == {"evaluation.json": True, "report.html": True}
    assert fault_runs.files_of(fault_runs.run_folder(folder) / "checkpoints") == before
    assert fault_runs.leftovers(folder) == []
    fault_runs.note(f"kill -9 in evaluation, piece {piece}", kills=found, figures="as undisturbed")


@pytest.mark.parametrize("piece", range(PIECES))
def test_export(piece, trained, exported, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    (wanted,) = fault_runs.features(exported[0])
    names = fault_runs.files_of(exported[0] / "exported/small/1").keys()

    def check():
        for version in (folder / "exported/small").glob("[0-9]*"):
            assert fault_runs.files_of(version).keys() == names
        there = fault_runs.features(folder)
        assert all(np.array_equal(one, wanted) for one in there)
        return {"versions": len(there)}

    found = kills(folder, piece, exported[1], fault_runs.EXPORT, check)
    fault_runs.complete(folder, *fault_runs.EXPORT)
    assert check()["versions"] > 0
    assert fault_runs.leftovers(folder / "exported/small") == []
    fault_runs.note(f"kill -9 in export, piece {piece}", kills=found, features="as undisturbed")
