"""The processes of --strategy=multi_worker: their addresses, and waiting for them.

TensorFlow waits for the others inside a call that no signal ends and that tells nobody for whom.
So they are waited for here, before it is asked. Free of TensorFlow.
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

from dim_tf.console import say
from dim_tf.errors import InputError, RunError, one_line

JOBS = ("chief", "worker")
TIMEOUT = 120.0  # seconds to wait for the others, where --worker_timeout does not say
CONNECT_SECONDS = 2.0  # for one attempt: a machine that is switched off does not answer at all
BETWEEN_SECONDS = 0.2
TELL_EVERY = 30.0

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+):(?P<port>[0-9]{1,5})")
TF_CONFIG_HINT = (
    'set the environment variable TF_CONFIG to {"cluster": {"worker": ["HOST:PORT", ...]}, '
    '"task": {"type": "worker", "index": 0}}, with another index for each process'
)


@dataclass(frozen=True)
class Address:
    """Where a process listens.

    Attributes:
        task: its job and index, as "worker 0".
        host: its name or IP address.
        port: of its server.
    """

    task: str
    host: str
    port: int

    def __str__(self):
        return f"{self.task} at {self.host}:{self.port}"


@dataclass(frozen=True)
class Workers:
    """All processes that train together.

    Attributes:
        own: this one's address.
        others: those of all others.
    """

    own: Address
    others: tuple[Address, ...]


def of_environment() -> Workers:
    """The processes that TF_CONFIG names.

    Raises:
        InputError: it is not set, or not as TensorFlow reads it.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        return of_jobs(jobs, task["type"], task["index"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        why = why if text else "it is not set"
        raise InputError(f"TF_CONFIG tells of no cluster ({why}); {TF_CONFIG_HINT}") from error


def of_jobs(jobs: Mapping[str, Any], task_type: Any, task_index: Any) -> Workers:
    """The processes of a cluster.

    Args:
        jobs: lists of addresses HOST:PORT by job; those of "chief" and "worker" take part.
        task_type: this process' job.
        task_index: its place in that job's list.

    Raises:
        ValueError: an address is none, or two are the same, or this process is not among them.
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
    places = [(address.host, address.port) for address in addresses.values()]
    for place, address in zip(places, addresses.values(), strict=True):
        if places.count(place) > 1:
            raise ValueError(f"{address} has the address of another one")
    own = addresses.get((task_type, task_index)) if isinstance(task_index, int) else None
    if own is None:
        named = ", ".join(address.task for address in addresses.values())
        raise ValueError(
            f"this process is {one_line(f'{task_type} {task_index}', 100)}, and there are {named}"
        )
    return Workers(own, tuple(a for a in addresses.values() if a is not own))


def _address(task: str, text: Any) -> Address:
    match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if not match or not 0 < int(match["port"]) < 2**16:
        shown = one_line(repr(text), 200)
        raise ValueError(
            f"the address of {task} is {shown}; expected HOST:PORT with a port up to 65535"
        )
    return Address(task, match["host"].strip("[]"), int(match["port"]))


def wait(workers: Workers, timeout: float) -> None:
    """Waits until every other process is there, and says for whom.

    Each listens at its own address meanwhile, and each connects to the others' until they answer,
    be it from here or already from TensorFlow's server.

    Args:
        workers: all of them.
        timeout: seconds.

    Raises:
        InputError: this process' port is used by another program.
        RunError: one does not answer within the time.
    """
    with contextlib.ExitStack() as listening:
        listening.enter_context(_listening(workers.own))
        _wait(list(workers.others), workers.own, timeout, _answers)


def _wait(
    missing: list[Address], own: Address, timeout: float, answers: Callable[[Address, float], bool]
) -> None:
    began = told = time.monotonic()
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
                f"{own.task} has waited {timeout:g} s for {named}; start all workers within this "
                "time, see that they reach each other's ports, or give a larger --worker_timeout"
            )
        if first or now - told >= TELL_EVERY:
            say(f"train: {own.task} waits for {named}, up to {timeout:g} s")
            first, told = False, now
        time.sleep(BETWEEN_SECONDS)


def _answers(address: Address, seconds: float) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=seconds).close()
    except OSError:  # not there yet, or its name is not known yet
        return False
    return True


@contextlib.contextmanager
def _listening(own: Address) -> Iterator[None]:
    """Listens at this process' port, on all interfaces as TensorFlow's server does."""
    dual = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(
            ("", own.port),
            family=socket.AF_INET6 if dual else socket.AF_INET,
            backlog=1024,
            dualstack_ipv6=dual,
        )
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        why = "is in use by another program" if in_use else f"cannot be had ({error.strerror})"
        raise InputError(
            f"port {own.port} of {own} {why}; end that program, or give the worker another port"
        ) from error
    with server:
        yield
