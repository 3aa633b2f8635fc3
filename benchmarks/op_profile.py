"""Times of the operations of a call, from TensorFlow's profiler."""

import collections
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2


class OpTime(NamedTuple):
    """All operations of one type in a call.

    Attributes:
        op: Type, such as `MatMul`.
        count: How often a call runs it.
        milliseconds: Per call, summed over threads: concurrent operations can add up to more than
            the call takes.
    """

    op: str
    count: float
    milliseconds: float


def trace(call: Callable[[], object], calls: int) -> xplane_pb2.XSpace:
    """The profiler's trace of `calls` runs of `call`."""
    space = xplane_pb2.XSpace()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(calls):
                call()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space.ParseFromString(file.read_bytes())
    return space


def op_times(space: xplane_pb2.XSpace, calls: int) -> list[OpTime]:
    """The CPU's operations in a trace of `calls` calls, the longest first.

    The executor names an event NODE:TYPE; other events have spaces or "::" in their names. The
    whole traced function is an event too, and left out.
    """
    counts: collections.Counter[str] = collections.Counter()
    picoseconds: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        if "CPU" not in plane.name:
            continue
        for line in plane.lines:
            for event in line.events:
                node, _, op = plane.event_metadata[event.metadata_id].name.partition(":")
                if node and op.isidentifier() and not op.startswith("__inference_"):
                    counts[op] += 1
                    picoseconds[op] += event.duration_ps
    return [
        OpTime(op, counts[op] / calls, total / calls / 1e9)
        for op, total in picoseconds.most_common()
    ]
