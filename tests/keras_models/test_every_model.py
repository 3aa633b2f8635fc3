"""What every baseline must do: train, compile, share a batch out, be saved."""

import harness
import numpy as np
import small_baseline as small


@small.of_models()
def test_it_trains_and_is_saved(make):
    small.check_training(make, falls=make not in (small.bigan, small.aae))
    small.check_config(make)


@small.of_models(slow=(small.vae,), without=(small.nat,))  # XLA cannot compile SciPy
def test_xla_takes_the_same_steps(make):
    small.check_xla(make)


@small.of_models(slow=(small.bigan, small.nat, small.vicreg))
def test_step_on_two_replicas_equals_one_device(make, two_replicas):
    small.check_replicas(make, two_replicas)


@small.of_models(long=(small.amdim,))
def test_bfloat16_is_close_to_float32(make):
    expected = small.made(make).train_step(small.BATCH)
    found = harness.in_bfloat16(lambda: small.made(make)).train_step(small.BATCH)
    for name, value in found.items():
        assert value.dtype == np.float32
        if name not in ("accuracy", "nt_xent_accuracy", "reassigned"):
            np.testing.assert_allclose(value, expected[name], rtol=0.1, atol=0.1, err_msg=name)
