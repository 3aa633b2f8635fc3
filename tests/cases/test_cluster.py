"""The processes of --strategy=multi_worker: wrong addresses, and partners that do not come."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import dim_tf
from dim_tf import preconditions
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, RunError
from dim_tf.training import cluster
from dim_tf.training.cluster import Address, Cluster

ROOT = Path(dim_tf.__file__).parents[1]


def tf_config(addresses, index=0, job="worker"):
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": job, "index": index}})


WRONG = {
    tf_config(["a:abc", "b:1"]): "the address of worker 0 is 'a:abc'; expected HOST:PORT",
    tf_config(["a:1", "b"]): "the address of worker 1 is 'b'; expected HOST:PORT",
    tf_config(["a:1", "b:70000"]): "the address of worker 1 is 'b:70000'",
    tf_config(["a:1", "b:0"]): "the address of worker 1 is 'b:0'",
    tf_config(["a:1", 5]): "the address of worker 1 is 5",
    tf_config(["a:1", "a:1"]): "worker 0 at a:1 has the address of another one",
    tf_config(["a:1", "b:1"], 2): "this process is worker 2, and there are worker 0, worker 1",
    tf_config(["a:1", "b:1"], -1): "this process is worker -1",
    tf_config(["a:1", "b:1"], 0, "ps"): "this process is ps 0",
    tf_config(["a:1", "\x1b[31m"]): r"the address of worker 1 is '\x1b[31m'",
    tf_config("a:1"): "'worker' is no list of addresses",
    tf_config([]): "no workers are named",
    "[]": "describes no cluster",
    "{}": "it has no 'cluster'",
    "{": "Expecting property name",
    "[" * 10_000: "describes no cluster",
    "": "it is not set",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_cluster_is_reported_before_tensorflow_is_imported(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError) as caught:
        preconditions.check(Experiment.of(name="a", strategy="multi_worker"), ["train"])
    assert WRONG[text] in str(caught.value)
    assert "TF_CONFIG" in str(caught.value)


def test_the_peers_of_a_process(monkeypatch):
    jobs = {"chief": ["h:1"], "worker": ["[::1]:2", "w:3"], "ps": ["p:4"]}
    task = {"type": "worker", "index": "1"}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": jobs, "task": task}))
    processes = cluster.from_environment()
    assert processes.local == Address("worker 1", "w", 3)
    assert processes.peers == (Address("chief 0", "h", 1), Address("worker 0", "::1", 2))


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return [Address(f"worker {n}", "127.0.0.1", port) for n, port in enumerate(ports)]


def test_who_does_not_come_is_named(capsys):
    local, peer = free_addresses(2)
    with pytest.raises(RunError, match=rf"waited 0.3 s for worker 1 at 127.0.0.1:{peer.port}; st"):
        cluster.wait_for_peers(Cluster(local, (peer,)), 0.3)
    assert f"train: worker 0 waits for {peer}, up to 0.3 s" in capsys.readouterr().out


def test_those_that_come_find_each_other():
    addresses = free_addresses(3)
    failed = []

    def wait(local):
        try:
            cluster.wait_for_peers(Cluster(local, tuple(a for a in addresses if a != local)), 10)
        except (InputError, RunError) as error:
            failed.append(error)

    threads = [threading.Thread(target=wait, args=[local]) for local in addresses]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    # One that has found all goes on: TensorFlow's server then answers in its place.
    waiting = {local.port for local in addresses}
    servers = []
    while any(thread.is_alive() for thread in threads):
        for local, thread in zip(addresses, threads, strict=True):
            if not thread.is_alive() and local.port in waiting:
                servers.append(socket.create_server((local.host, local.port)))
                waiting.remove(local.port)
        time.sleep(0.02)
    for server in servers:
        server.close()
    assert not failed


def test_a_port_in_use_is_reported():
    local, peer = free_addresses(2)
    with (
        socket.create_server(("", local.port)),
        pytest.raises(
            InputError, match=rf"port {local.port} of {local} is in use by another program"
        ),
    ):
        cluster.wait_for_peers(Cluster(local, (peer,)), 1)


def started(local, peer, *more):
    words = [f"127.0.0.1:{address.port}" for address in (local, peer)]
    return subprocess.Popen(
        [sys.executable, "-m", "dim_tf.main", "--name=m", "--mode=train", "--steps=3"]
        + ["--strategy=multi_worker", *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": tf_config(words)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_worker_that_waits_is_ended_by_a_signal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = started(*free_addresses(2), "--worker_timeout=60")
    assert process.stdout.readline().startswith("train: worker 0 waits for worker 1 at 127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 143, err
    assert "stopped by SIGTERM" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_server_that_is_no_worker_ends_training_in_one_line(tmp_path, monkeypatch):
    """As a partner that dies just after it was seen: TensorFlow itself would wait for an hour."""
    monkeypatch.chdir(tmp_path)
    local, peer = free_addresses(2)
    with socket.create_server(("127.0.0.1", peer.port), backlog=100):
        process = started(local, peer, "--worker_timeout=3")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"has not connected worker 0 with {peer}" in errors[0]
    assert "Traceback" not in err
