"""NaN, and settings that no memory holds."""

import resource

import fault_injection as faults
import pytest

pytestmark = pytest.mark.long

MEMORY = 12 * 2**30
TOO_FAST = [*faults.TRAIN, "--learning_rate=1e30", "--checkpoint_every=1"]


@pytest.mark.parametrize("flags", [[], ["--on_nan=restore", "--nan_restores=2"]])
def test_a_learning_rate_that_leads_to_nan(tmp_path, flags):
    status, printed, errors = faults.run(tmp_path, *TOO_FAST, *flags)
    error = faults.error_line(errors)
    assert status == 1
    assert "not finite" in error or " is nan" in error or " is inf" in error
    assert "A lower --learning_rate may help" in error
    assert printed.count("with the images in another order") == (2 if flags else 0)
    assert ("after going back 2 times" in error) == bool(flags)
    faults.losses(tmp_path)  # each step stands once, all of them finite
    assert faults.leftovers(tmp_path) == []
    faults.record_fault(f"learning rate 1e30 {' '.join(flags)}".strip(), error=error)


def test_more_than_the_memory_holds(tmp_path):
    flags = [*faults.TRAIN, "--critic_units=65536", "--batch_size=1024"]
    process = faults.start(tmp_path, *flags)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
    assert process.wait(timeout=600) == 1
    error = faults.error_line((tmp_path / "errors.txt").read_text())
    assert "the memory does not suffice" in error
    assert "--critic_units" in error
    faults.record_fault("more units than the memory holds", error=error)
