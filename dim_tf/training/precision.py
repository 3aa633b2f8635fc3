"""--precision=auto: bfloat16 if this machine computes a training step faster with it.

A processor with AVX512-BF16 or AMX multiplies bfloat16 numbers about twice as fast as float32 ones;
a processor without these converts each number, and needs several times as long. No list of
processors says which kind one is for TensorFlow's kernels, so a step is timed, once on each
machine.
"""

import functools
import hashlib
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dim_tf.system import cpu, process_state, user_cache
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.json_files import json_with_checksum, read_json_with_checksum
from dim_tf.training import strategy
from keras_models import encoders
from keras_models.distribute.randomness import StepRandom

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
WORTHWHILE = 1.1  # bfloat16 rounds more, so it must be this many times as fast
_VERSION = 1  # of what is timed
_ENCODER = "basic32x32"
_IMAGES = {"CPU": 32, "GPU": 512}  # of a step; a GPU with few of them waits for the CPU
_FEWEST, _SECONDS = 3, 1.5  # repetitions in turns, at least, and for how long


def choose() -> str:
    """Times both precisions, unless this machine's times are in the cache; says which is faster.

    Returns:
        "float32" or "bfloat16".
    """
    machine = describe_machine()
    path = _cache_path(machine)
    content = _read(path, machine)
    if content is None:
        times = measure()
        date = datetime.now(UTC).date().isoformat()
        content = {"machine": machine, "milliseconds": times, "date": date}
        _write(path, content)
    times = content["milliseconds"]
    choice, finding = "float32", "TensorFlow cannot compute in bfloat16"
    if "bfloat16" in times:
        ratio = times["float32"] / times["bfloat16"]
        choice = "bfloat16" if ratio >= WORTHWHILE else "float32"
        finding = f"bfloat16 runs at {ratio:.2f} times the speed of float32"
    name = ", ".join(machine["gpus"]) or cpu.instruction_set()
    say(
        f"train: --precision=auto is {choice}: {finding} here ({name}, measured on "
        f"{content['date']})"
    )
    return choice


def describe_machine() -> dict[str, Any]:
    """What the times depend on: processor, GPUs, TensorFlow and its switches."""
    return {
        "version": _VERSION,
        "processor": cpu.model(),
        "flags": hashlib.sha256(" ".join(sorted(cpu.flags())).encode()).hexdigest(),
        "processors": cpu.count(),
        "gpus": [_gpu_name(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "tensorflow": tf.__version__,
        "switches": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("ONEDNN_", "TF_ENABLE_ONEDNN", "TF_ONEDNN"))
        },
    }


def _gpu_name(gpu) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


def measure() -> dict[str, float]:
    """The median milliseconds of a training step in each precision in which it can be computed.

    The step is that of only the encoder `basic32x32`, forwards and backwards: convolutions, a
    matrix product and batch norms as in the encoders, compiled as in training. The precisions take
    turns, so that other work on the machine affects both. TensorFlow fails in bfloat16 if its own
    test of the processor disagrees with that of oneDNN, which ONEDNN_MAX_CPU_ISA may limit.
    """
    times: dict[str, list[float]] = {name: [] for name in POLICIES}
    with process_state.preserved():
        tf.config.experimental.enable_tensor_float_32_execution(False)  # as in training
        steps = {name: _make_step(policy) for name, policy in POLICIES.items()}
        steps["float32"]()  # traces
        try:
            steps["bfloat16"]()
        except tf.errors.AbortedError:
            del steps["bfloat16"], times["bfloat16"]
        for step in steps.values():
            step()
        began = time.perf_counter()
        while len(times["float32"]) < _FEWEST or time.perf_counter() - began < _SECONDS:
            for name, step in steps.items():
                before = time.perf_counter()
                step()
                times[name].append(1000 * (time.perf_counter() - before))
    return {name: statistics.median(values) for name, values in times.items()}


def _make_step(policy: str) -> Callable[[], Any]:
    """A function that computes a step's gradients and waits for them."""
    keras.config.set_dtype_policy(policy)
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    encoder = encoders.get(_ENCODER)
    encoder.build()
    images = tf.random.stateless_uniform((_IMAGES[device], *encoder.image_shape), (0, 1), -1, 1)

    @functools.partial(tf.function, jit_compile=strategy.jit_compile("auto", 0))
    def gradients(images):
        with tf.GradientTape() as tape:
            features = encoder(images, training=True, random=StepRandom(0, tf.constant(0)))
            loss = tf.reduce_mean(tf.square(tf.cast(features["global"], tf.float32)))
        return [tf.reduce_sum(g) for g in tape.gradient(loss, encoder.trainable_variables)]

    return lambda: [gradient.numpy() for gradient in gradients(images)]


def _cache_path(machine: dict[str, Any]) -> Path | None:
    """The file with a machine's times; None: this user has no cache folder."""
    digest = hashlib.sha256(json.dumps(machine).encode()).hexdigest()[:16]
    try:
        return user_cache.folder() / "precision" / f"{digest}.json"
    except InputError:  # no home folder
        return None


def _read(path: Path | None, machine: dict[str, Any]) -> dict[str, Any] | None:
    """The content of a file; None if there is none, or if it is damaged."""
    if path is None or not path.exists():
        return None
    try:
        content = read_json_with_checksum(path)
        if content["machine"] != machine or not isinstance(content["date"], str):
            return None
        times = content["milliseconds"]
        is_valid = "float32" in times and all(0 < float(t) < math.inf for t in times.values())
        return content if is_valid else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(path: Path | None, content: dict[str, Any]) -> None:
    """Keeps the times; if that is impossible, the next run measures them again."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, json_with_checksum(content))
    except OSError as error:
        say(f"train: the times of --precision=auto cannot be kept in {path} ({error.strerror})")
