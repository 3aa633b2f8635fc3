"""Every estimator with every critic, on real images; the memory of large batches."""

import subprocess
import sys

import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from keras_models import DeepInfoMax, critics, encoders, estimators, terms

pytestmark = pytest.mark.slow

BATCH = 32
# A local critic and a global one train in one model.
CRITICS = [("dot", "conv"), ("concat", "dense"), ("dot", "dot")]
SIZES = {
    "dot": {"units": 32},
    "conv": {"filters": (16, 8), "hidden_units": (64, 64)},
    "concat": {"hidden_units": (64, 64)},
    "dense": {"hidden_units": (64, 64)},
}


@pytest.fixture(scope="module")
def digits():
    images = data.load("digits", data.DataRequest()).train.images[: 8 * BATCH]
    return np.split(images.astype(np.float32) / 127.5 - 1, 8)


def make_model(local_critic, global_critic):
    """All estimators, each with critics of its own, on one encoder."""
    keras.utils.set_random_seed(0)
    encoder = encoders.get("basic28x28", dense_units=(32,), latent_dim=16)
    parts = [terms.prior_matching("uniform", 16, weight=0.1)]
    for estimator in estimators.NAMES:
        local = critics.get(local_critic, **SIZES[local_critic])
        whole_map = {"whole_map": True} if global_critic == "dot" else {}
        of_map = critics.get(global_critic, **SIZES[global_critic], **whole_map)
        parts.append(terms.MutualInformation(local, estimator, name=f"{estimator}_local"))
        parts.append(terms.MutualInformation(of_map, estimator, 0.5, name=f"{estimator}_global"))
    model = DeepInfoMax(encoder, parts)
    model.compile(1e-4)
    model.build()
    return model


@pytest.mark.parametrize(
    ("names", "precision"),
    [*((names, "bfloat16") for names in CRITICS), (CRITICS[0], "float32")],
    ids=str,
)
def test_twenty_steps_of_all_estimators_stay_finite(digits, names, precision):
    def make():
        return make_model(*names)

    model = harness.in_bfloat16(make) if precision == "bfloat16" else make()
    step = tf.function(model.train_step)
    before = model.get_weights()
    for i in range(20):
        metrics = step(tf.constant(digits[i % 8]))
        assert {f"{name}_local_mi" for name in estimators.NAMES} < set(metrics)
        for name, value in metrics.items():
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
