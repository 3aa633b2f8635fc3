"""What an error says, in one line."""

import subprocess
import sys

import pytest
import tensorflow as tf

from dim_tf.system.errors import RunError
from dim_tf.system.io_errors import reason, translate_write_errors


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


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
    ],
)
def test_a_write_that_fails_is_one_line(tmp_path, error):
    with (
        pytest.raises(RunError, match=r"a\.txt could not be written: No space left .*; make room"),
        translate_write_errors("a.txt", tmp_path / "none", "make room"),
    ):
        raise error


def test_a_full_memory_is_no_failed_write(tmp_path):
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating [9]")
    with (
        pytest.raises(tf.errors.ResourceExhaustedError),
        translate_write_errors("a.txt", tmp_path, "make room"),
    ):
        raise error


def test_failed_writes_need_no_tensorflow():
    program = (
        "import pathlib, sys\n"
        "from dim_tf.system.errors import RunError\n"
        "from dim_tf.system.io_errors import translate_write_errors\n"
        "try:\n"
        "    with translate_write_errors('a.txt', pathlib.Path('.'), 'make room'):\n"
        "        raise OSError(28, 'No space left on device')\n"
        "except RunError:\n"
        "    assert 'tensorflow' not in sys.modules\n"
        "    print('one line')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "one line\n", done.stderr
