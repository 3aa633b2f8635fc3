"""Operations in a profiler's trace."""

import op_profile
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2


def test_events_of_a_type_are_added_up_and_divided_by_calls():
    space = xplane_pb2.XSpace()
    host = space.planes.add(name="/host:CPU")
    names = ("a/MatMul:MatMul", "b:MatMul", "c:Add", "f:__inference_f_1", "Thread::Run", "x: y")
    line = host.lines.add()
    for i, name in enumerate(names):
        host.event_metadata[i].name = name
        line.events.add(metadata_id=i, duration_ps=2_000_000_000)
    space.planes.add(name="/device:GPU:0")
    assert op_profile.op_times(space, calls=2) == [
        op_profile.OpTime("MatMul", 1.0, 2.0),
        op_profile.OpTime("Add", 0.5, 1.0),
    ]


def test_a_trace_of_a_real_function():
    a = tf.ones([64, 64])
    inverse = tf.function(lambda x: tf.linalg.inv(x + tf.eye(64)))
    inverse(a)
    times = op_profile.op_times(op_profile.trace(lambda: inverse(a), 3), 3)
    assert {time.op: time.count for time in times}["MatrixInverse"] == 1
