"""What is printed while TensorFlow is imported, and what is set."""

import os
import subprocess
import sys

import keras
import pytest

from dim_tf.system import tensorflow_import
from dim_tf.system.errors import InputError

REMARK = "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
INFO = "I0000 00:00:1795915465.183341   12706 cudart_stub.cc:31] Could not find cuda drivers\n"
ERROR = "E0000 00:00:1795915465.183341   12706 cuda.cc:9] failed call to cuInit: UNKNOWN ERROR\n"


def run(code):
    """What a process writes to stderr in which that code runs within the filter."""
    lines = [
        "import os",
        "from dim_tf.system.tensorflow_import import without_start_up_lines",
        "with without_start_up_lines():",
        *(f"    {line}" for line in code),
        "os.write(2, b'I0000 after\\n')",
    ]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows filters nothing")
def test_only_info_lines_of_absl_are_left_out():
    text = (REMARK + INFO + ERROR + "anything else\n").encode()
    done = run([f"os.write(2, {text!r})", "os.write(2, b'no line end')"])
    assert done.returncode == 0
    assert done.stderr == ERROR + "anything else\nno line end" + "I0000 after\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows filters nothing")
def test_nothing_is_lost_where_the_import_ends_the_process_or_fails():
    done = run([f"os.write(2, {ERROR.encode()!r})", "os.abort()"])
    assert done.returncode < 0
    assert done.stderr == ERROR
    done = run([f"os.write(2, {ERROR.encode()!r})", "import no_such_module"])
    assert done.stderr.startswith(ERROR)
    assert done.stderr.endswith("No module named 'no_such_module'\n")


def test_stderr_that_is_closed_stays_so():
    done = run(["os.close(2)"])
    assert done.returncode in (0, 1, 120)  # Python's, where it could not write to it either
    code = "import os; os.close(2)\nfrom dim_tf.system import tensorflow_import as t\n"
    code += "with t.without_start_up_lines(): print('inside')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "inside\n")


def test_keras_is_set_as_the_program_needs_it(monkeypatch):
    for name in ("KERAS_MAX_EPOCHS", "KERAS_BACKEND"):
        monkeypatch.setenv(name, "1")
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    tensorflow_import.quietly()
    assert keras.config.floatx() == "float32"
    assert keras.config.image_data_format() == "channels_last"
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert "KERAS_MAX_EPOCHS" not in os.environ


def test_a_file_that_keras_cannot_use_is_named(monkeypatch):
    """By the frame of the module that reads it."""
    names = {"_config_path": "/home/me/.keras/keras.json"}

    def fail():
        exec("raise ValueError('Invalid `floatx`')", names)

    monkeypatch.setattr(tensorflow_import, "without_start_up_lines", fail)
    with pytest.raises(InputError, match=r"/home/me/.keras/keras.json holds what .*Invalid"):
        tensorflow_import.quietly()
