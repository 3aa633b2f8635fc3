"""What every baseline must do: train, compile, share a batch out, be saved."""

import harness
import numpy as np
import pytest
import small_baseline as small

pytestmark = pytest.mark.slow


MODELS = [
    small.autoencoder,
    small.vae,
    small.aae,
    small.bigan,
    small.nat,
    small.simclr,
    small.vicreg,
    small.cpc,
    small.amdim,
    small.supervised,
]
SLOW_TO_COMPILE = (small.simclr, small.vicreg, small.cpc, small.amdim)
COMPILED = [
    pytest.param(make, marks=pytest.mark.long) if make in SLOW_TO_COMPILE else make
    for make in MODELS
    if make is not small.nat  # which XLA cannot compile
]
every = pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)


@every
def test_it_trains_and_is_saved(make):
    small.check_training(make, falls=make not in (small.bigan, small.aae))
    small.check_config(make)


@pytest.mark.parametrize("make", COMPILED, ids=lambda make: make.__name__)
def test_xla_takes_the_same_steps(make):
    small.check_xla(make)


@every
def test_step_on_two_replicas_equals_one_device(make, two_replicas):
    small.check_replicas(make, two_replicas)


@every
def test_bfloat16_is_close_to_float32(make):
    expected = small.made(make).train_step(small.BATCH)
    found = harness.in_bfloat16(lambda: small.made(make)).train_step(small.BATCH)
    for name, value in found.items():
        assert value.dtype == np.float32
        if name not in ("accuracy", "contrastive_accuracy", "reassigned"):
            np.testing.assert_allclose(value, expected[name], rtol=0.1, atol=0.1, err_msg=name)
