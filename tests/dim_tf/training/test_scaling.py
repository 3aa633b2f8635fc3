"""The same mathematics on replicas and workers, each in processes of their own."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SMALL = ["--name=t", "--mode=train", "--critic_units=16", "--strategy=multi_worker"]
SMALL += ["--image_size=16", "--batch_size=16", "--noonline_probe"]


def start(arguments, environment=None):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(arguments, count=2):
    """One process a worker; `arguments` is a function of the worker's number."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(count)]
    started = []
    for index in range(count):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        started.append(start(arguments(index), {"TF_CONFIG": json.dumps(config)}))
    return started


def finish(processes, seconds=300):
    outputs = [process.communicate(timeout=seconds)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-3000:]
    return outputs


def steps(out, replicas, *more):
    return ["tests/sgd_steps.py", str(out), f"--replicas={replicas}", *more]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "weights.npz"
    finish([start(steps(out, 1, "--steps=2"))])
    return np.load(out)


def assert_equal_weights(actual, expected):
    assert set(actual) == set(expected)
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_steps_of_two_workers_equal_one_device(tmp_path, one_device):
    finish(start_workers(lambda index: steps(tmp_path / f"{index}.npz", 0, "--steps=2")))
    for index in (0, 1):
        assert_equal_weights(np.load(tmp_path / f"{index}.npz"), one_device)


def test_steps_on_two_and_then_on_four_replicas_equal_one_device(tmp_path, one_device):
    """The second goes on from the first one's checkpoint."""
    out, folder = tmp_path / "weights.npz", f"--checkpoints={tmp_path}/checkpoints"
    for replicas in (2, 4):
        finish([start(steps(out, replicas, folder))])
    assert_equal_weights(np.load(out), one_device)


def lines(folder):
    text = (folder / "metrics.jsonl").read_text() if (folder / "metrics.jsonl").exists() else ""
    entries = [json.loads(line) for line in text.splitlines()]
    for entry in entries:
        del entry["images_per_second"]
    return entries


def train_flags(folder, *more):
    flags = [*SMALL, f"--run_dir={folder}", "--checkpoint_every=5", *more]
    return lambda index: ["-m", "dim_tf.main", *flags]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    finish(start_workers(train_flags(folder, "--steps=60")))
    return lines(folder)


def test_a_killed_worker_ends_the_other_and_all_go_on_from_the_checkpoint(tmp_path, undisturbed):
    """The first worker is the chief, which writes; it is killed after the other one was."""
    killed = tmp_path / "killed"
    for victim in (1, 0):
        done = len(lines(killed))
        workers = start_workers(train_flags(killed, "--steps=2000"))
        while len(lines(killed)) < done + 8:
            assert all(worker.poll() is None for worker in workers), workers[0].communicate()[0]
            time.sleep(0.05)
        workers[victim].kill()
        began = time.monotonic()
        output, _ = workers[1 - victim].communicate(timeout=200)
        assert time.monotonic() - began < 180
        assert workers[1 - victim].returncode == 1
        assert "error: another worker is gone" in output
        workers[victim].communicate()
        assert "Traceback" not in output

    finish(start_workers(train_flags(killed, "--steps=60")))
    entries = lines(killed)
    assert [e["step"] for e in entries] == list(range(1, len(entries) + 1))
    assert entries[:60] == undisturbed
