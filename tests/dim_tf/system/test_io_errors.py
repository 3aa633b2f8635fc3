"""What an error says, in one line."""

import pytest
import tensorflow as tf

from dim_tf.system.io_errors import reason


def test_an_error_in_a_graph_has_its_cause_and_no_trace():
    cut = tf.io.encode_jpeg(tf.zeros([40, 40, 3], tf.uint8)).numpy()[:200]
    decode = tf.function(tf.io.decode_jpeg)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Graph execution error") as raised:
        decode(tf.constant(cut))
    assert "JPEG" in reason(raised.value)
    assert "[[" not in reason(raised.value)


def test_an_error_while_tracing_has_its_cause():
    @tf.function
    def wrong(x):
        raise ValueError(f"no {x.dtype.name} here")

    with pytest.raises(ValueError, match="in user code") as raised:
        wrong(tf.constant(1.0))
    assert reason(raised.value) == "ValueError: no float32 here"


def test_hints_and_arguments_after_the_cause_are_no_cause():
    memory = "Graph execution error:\n\nOOM when allocating [9]\n\t [[{{node a}}]]\nHint: add x\n"
    assert reason(ValueError(memory)) == "OOM when allocating [9]"
    layer = "in user code:\n\n  ValueError: wrong shape\n\nArguments received by D:\n  • training=1"
    assert reason(ValueError(layer)) == "ValueError: wrong shape"


def test_other_errors_have_their_first_line():
    assert reason(OSError(28, "No space left on device")) == "No space left on device"
    assert reason(ValueError("first\nsecond")) == "first"
    assert reason(ValueError()) == "ValueError"
