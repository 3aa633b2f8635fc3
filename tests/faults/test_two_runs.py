"""Two runs on one run folder: the second is refused, the first does not notice."""

import fault_injection as faults
import pytest

pytestmark = pytest.mark.long


def test_the_second_is_refused(tmp_path):
    one, straight = tmp_path / "one", tmp_path / "straight"
    first = faults.start(one, *faults.TRAIN, "--steps=1500")
    faults.wait_for(first, one, "train: ")
    run_dir = f"--run_dir={faults.run_folder(one)}"
    errors = {}
    for mode in (
        faults.TRAIN,
        [*faults.TRAIN, "--noresume"],
        faults.EVALUATE,
    ):
        status, _, stderr = faults.run(tmp_path / "two", *mode, run_dir)
        error = faults.error_line(stderr)
        assert status == 2
        assert f"is in use by another run (process {first.pid} on " in error
        errors[" ".join(mode)] = error
    first.terminate()
    assert first.wait(timeout=faults.END_SECONDS) == 143
    step = faults.newest_step(one)
    faults.run_to_success(straight, *faults.TRAIN, f"--steps={step}")
    assert faults.losses(one) == faults.losses(straight)
    faults.record_fault(
        "two runs on one folder", errors=errors, losses_of_the_first="as undisturbed"
    )


def test_an_export_beside_training(tmp_path):
    """It writes another folder."""
    first = faults.start(tmp_path, *faults.TRAIN, "--steps=3000")
    faults.wait_for(first, tmp_path, "train: ")
    while not list(tmp_path.glob("runs/small/checkpoints/ckpt-*.json")):
        assert first.poll() is None
    run_dir = f"--run_dir={faults.run_folder(tmp_path)}"
    faults.run_to_success(tmp_path / "other", *faults.EXPORT, run_dir)
    first.kill()
    first.wait()
    faults.record_fault("export beside training", outcome="both go on")
