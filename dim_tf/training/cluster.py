"""The processes of --strategy=multi_worker: their addresses, and waiting for them.

TensorFlow waits for the other processes inside a call that no signal ends, and does not say which
ones it waits for. So this module waits for them before TensorFlow does. It does not import
TensorFlow.
"""

import contextlib
import errno
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError, one_line

JOBS = ("chief", "worker")
TIMEOUT = 120.0  # seconds to wait for the other processes, the default of --worker_timeout
CONNECT_SECONDS = 2.0  # per attempt: a machine that is switched off does not answer at all
RETRY_SECONDS = 0.2
PRINT_SECONDS = 30.0  # between lines that say who is missing

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+):(?P<port>[0-9]{1,5})")
TF_CONFIG_HINT = (
    'set the environment variable TF_CONFIG to {"cluster": {"worker": ["HOST:PORT", ...]}, '
    '"task": {"type": "worker", "index": 0}}, with another index for each process'
)


@dataclass(frozen=True)
class Address:
    """Where a process listens.

    Attributes:
        task: Its job and index, such as "worker 0".
        host: Name or IP address of its machine.
        port: Port of its server.
    """

    task: str
    host: str
    port: int

    def __str__(self):
        return f"{self.task} at {self.host}:{self.port}"


@dataclass(frozen=True)
class Cluster:
    """All processes that train together.

    Attributes:
        local: Address of this process.
        peers: Addresses of all other processes.
    """

    local: Address
    peers: tuple[Address, ...]


def from_environment() -> Cluster:
    """The cluster that the environment variable TF_CONFIG describes.

    Raises:
        InputError: TF_CONFIG is not set, or TensorFlow could not read it.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        return from_jobs(jobs, task["type"], task["index"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        reason = reason if text else "it is not set"
        raise InputError(f"TF_CONFIG describes no cluster ({reason}); {TF_CONFIG_HINT}") from error


def from_jobs(jobs: Mapping[str, Any], task_type: Any, task_index: Any) -> Cluster:
    """The cluster of these jobs.

    Args:
        jobs: Lists of addresses HOST:PORT by job; those of "chief" and "worker" take part.
        task_type: This process' job.
        task_index: Its index in that job's list.

    Raises:
        ValueError: An address is malformed, two are the same, or this process is not listed.
    """
    if not isinstance(jobs, Mapping) or not any(jobs.get(job) for job in JOBS):
        raise ValueError("no workers are named")
    if isinstance(task_index, str) and task_index.isdecimal():  # as TensorFlow reads it
        task_index = int(task_index)
    addresses: dict[tuple[str, int], Address] = {}
    for job in JOBS:
        listed = jobs.get(job) or []
        if not isinstance(listed, list | tuple):
            raise ValueError(f"{job!r} is no list of addresses HOST:PORT")
        for index, text in enumerate(listed):
            addresses[job, index] = _address(f"{job} {index}", text)
    sockets = [(address.host, address.port) for address in addresses.values()]
    for address in addresses.values():
        if sockets.count((address.host, address.port)) > 1:
            raise ValueError(f"{address} has the address of another one")
    local = addresses.get((task_type, task_index)) if isinstance(task_index, int) else None
    if local is None:
        named = ", ".join(address.task for address in addresses.values())
        raise ValueError(
            f"this process is {one_line(f'{task_type} {task_index}', 100)}, and there are {named}"
        )
    return Cluster(local, tuple(a for a in addresses.values() if a is not local))


def _address(task: str, text: Any) -> Address:
    match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if not match or not 0 < int(match["port"]) < 2**16:
        shown = one_line(repr(text), 200)
        raise ValueError(
            f"the address of {task} is {shown}; expected HOST:PORT with a port up to 65535"
        )
    return Address(task, match["host"].strip("[]"), int(match["port"]))


def wait_for_peers(cluster: Cluster, timeout: float) -> None:
    """Waits until every other process answers, and prints which ones it waits for.

    Meanwhile each process listens at its own address. For processes that have already continued,
    TensorFlow's server answers.

    Args:
        cluster: This process and its peers.
        timeout: Time limit in seconds.

    Raises:
        InputError: This process' port is used by another program.
        RunError: A peer does not answer in time.
    """
    with _listening(cluster.local):
        _wait(list(cluster.peers), cluster.local, timeout, _answers)


def _wait(
    missing: list[Address],
    local: Address,
    timeout: float,
    answers: Callable[[Address, float], bool],
) -> None:
    began = printed = time.monotonic()
    first = True
    while True:
        for address in list(missing):
            left = began + timeout - time.monotonic()
            if left <= 0:
                break
            if answers(address, min(left, CONNECT_SECONDS)):
                missing.remove(address)
        if not missing:
            return
        now = time.monotonic()
        named = ", ".join(map(str, missing))
        if now - began >= timeout:
            raise RunError(
                f"{local.task} has waited {timeout:g} s for {named}; start all workers within this "
                "time, see that they reach each other's ports, or give a larger --worker_timeout"
            )
        if first or now - printed >= PRINT_SECONDS:
            say(f"train: {local.task} waits for {named}, up to {timeout:g} s")
            first, printed = False, now
        time.sleep(RETRY_SECONDS)


def _answers(address: Address, seconds: float) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=seconds).close()
    except OSError:  # not there yet, or its name is not known yet
        return False
    return True


@contextlib.contextmanager
def _listening(local: Address) -> Iterator[None]:
    """Listens at this process' port, on all interfaces as TensorFlow's server does."""
    dual = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", local.port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            backlog=1024,
            dualstack_ipv6=dual,
        )
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = "is in use by another program" if in_use else f"cannot be had ({error.strerror})"
        raise InputError(
            f"port {local.port} of {local} {reason}; end that program, or give the worker "
            "another port"
        ) from error
    with server:
        yield
