"""Every estimator with every critic, on real images; the memory of large batches."""

import subprocess
import sys

import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from keras_models import DeepInfoMax, encoders, estimators, terms

pytestmark = pytest.mark.slow

BATCH = 32
# A local critic and a global one train in one model.
CRITICS = [("dot", "conv"), ("concat", "dense"), ("dot", "dot")]


@pytest.fixture(scope="module")
def digits():
    images = data.load("digits", data.DataRequest()).train.images[: 8 * BATCH]
    return np.split(images.astype(np.float32) / 127.5 - 1, 8)


def arguments(critic):
    return {"units": 32} if critic == "dot" else {}


def make_model(estimator, local_critic, global_critic):
    keras.utils.set_random_seed(0)
    encoder = encoders.get("basic28x28", dense_units=(32,), latent_dim=16)
    model = DeepInfoMax(
        encoder,
        [
            terms.local_mutual_information(local_critic, estimator, **arguments(local_critic)),
            terms.global_mutual_information(
                global_critic, estimator, 0.5, **arguments(global_critic)
            ),
            terms.prior_matching("uniform", 16, weight=0.1),
        ],
    )
    model.compile(1e-4)
    model.build()
    return model


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("critics", CRITICS, ids="-".join)
@pytest.mark.parametrize("estimator", estimators.NAMES)
def test_twenty_steps_stay_finite(digits, estimator, critics, precision):
    def make():
        return make_model(estimator, *critics)

    model = harness.in_bfloat16(make) if precision == "bfloat16" else make()
    step = tf.function(model.train_step)
    before = model.get_weights()
    for i in range(20):
        for name, value in step(tf.constant(digits[i % 8])).items():
            assert value.dtype == tf.float32
            assert np.isfinite(value), f"{name} at step {i}"
    moved = [not np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True)]
    assert np.mean(moved) > 0.9
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


# VmHWM and not getrusage's ru_maxrss, which counts the process that started this one too.
LARGE_BATCH = """
import re
from pathlib import Path
import numpy as np, tensorflow as tf
from keras_models import DeepInfoMax, encoders, terms
model = DeepInfoMax(
    encoders.get("basic32x32"), [terms.local_mutual_information("dot", "infonce", units=512)]
)
model.compile()
model.build()
step = tf.function(model.train_step)
images = tf.random.uniform([512, 32, 32, 3], -1, 1)
for _ in range(3):
    assert np.isfinite(step(images)["loss"])
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) / 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_info_nce_of_512_images_takes_less_than_3_gib():
    """All pairs as one matrix of logits, N·L x (N·L + 1), would take 4 GiB alone."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE_BATCH], capture_output=True, text=True, check=True
    )
    assert 0.5 < float(done.stdout) < 3.0
