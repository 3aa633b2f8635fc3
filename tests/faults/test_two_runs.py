"""Two runs on one run folder: the second is refused, the first does not notice."""

import fault_runs
import pytest

pytestmark = pytest.mark.long


def test_the_second_is_refused(tmp_path):
    one, straight = tmp_path / "one", tmp_path / "straight"
    first = fault_runs.start(one, *fault_runs.TRAIN, "--steps=1500")
    fault_runs.wait_for(first, one, "train: ")
    run_dir = f"--run_dir={fault_runs.run_folder(one)}"
    found = {}
    for mode in (fault_runs.TRAIN, [*fault_runs.TRAIN, "--noresume"], fault_runs.EVALUATE):
        status, _, errors = fault_runs.run(tmp_path / "two", *mode, run_dir)
        error = fault_runs.the_error(errors)
        assert status == 2
        assert f"is in use by another run (process {first.pid} on " in error
        found[" ".join(mode)] = error
    first.terminate()
    assert first.wait(timeout=fault_runs.END_SECONDS) == 143
    step = fault_runs.newest_step(one)
    fault_runs.complete(straight, *fault_runs.TRAIN, f"--steps={step}")
    assert fault_runs.losses(one) == fault_runs.losses(straight)
    fault_runs.note("two runs on one folder", errors=found, losses_of_the_first="as undisturbed")


def test_an_export_beside_training(tmp_path):
    """It writes another folder."""
    first = fault_runs.start(tmp_path, *fault_runs.TRAIN, "--steps=3000")
    fault_runs.wait_for(first, tmp_path, "train: ")
    while not list(tmp_path.glob("runs/small/checkpoints/ckpt-*.json")):
        assert first.poll() is None
    run_dir = f"--run_dir={fault_runs.run_folder(tmp_path)}"
    fault_runs.complete(tmp_path / "other", *fault_runs.EXPORT, run_dir)
    first.kill()
    first.wait()
    fault_runs.note("export beside training", outcome="both go on")
